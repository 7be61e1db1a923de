// Makes an access token of Mercure 1.0 that is valid for an hour, and prints it. In examples/, with HUB, ISSUER and ISSUER_KEY as
// README.md sets them:
// $ node node/access-token.mjs
import { createHmac } from "node:crypto";

const { HUB, ISSUER, ISSUER_KEY } = process.env;
const now = Math.floor(Date.now() / 1000);
const type = "https://mercure.rocks/authorization-detail";
const claims = {
  iss: ISSUER,
  // The hub's PUBLIC_URL.
  aud: HUB,
  iat: now,
  exp: now + 3600,
  authorization_details: [
    { type, actions: ["publish"], topics: [{ match: "*" }] },
    { type, actions: ["subscribe"], topics: [{ match: "https://example.com/books/:id", match_type: "urlpattern" }] },
  ],
};

const encode = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");
// Without this `typ`, the hub takes the token for one of Mercure 0.x.
const signed = `${encode({ typ: "at+jwt", alg: "HS256" })}.${encode(claims)}`;
console.log(`${signed}.${createHmac("sha256", ISSUER_KEY).update(signed).digest("base64url")}`);
