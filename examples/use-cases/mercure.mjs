// What the examples in JavaScript share: a token, a publication, a subscription. They speak Mercure 0.x with JWT_KEY, and
// with PARAMETER=match 1.0, with ISSUER and ISSUER_KEY.
import { createHmac } from "node:crypto";
import { EventSource } from "eventsource";

export const { HUB, JWT_KEY, ISSUER, ISSUER_KEY, PARAMETER = "topic" } = process.env;
const isModern = PARAMETER !== "topic";

// A token for what may be published and received (`{ publish: topics, subscribe: topics }`), for an hour. Only servers know the key.
export function token(granted) {
  const part = (object) => Buffer.from(JSON.stringify(object)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const [typ, claims, key] = isModern ? ["at+jwt", accessClaims(granted), ISSUER_KEY] : ["JWT", { mercure: granted }, JWT_KEY];
  const text = `${part({ alg: "HS256", typ })}.${part({ ...claims, exp })}`;
  return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
}

// The same in 1.0: an entry for each action.
function accessClaims(granted) {
  const type = "https://mercure.rocks/authorization-detail";
  const entry = ([action, topics]) => ({ type, actions: [action], topics: topics.map((match) => ({ match })) });
  return { iss: ISSUER, aud: HUB, authorization_details: Object.entries(granted).map(entry) };
}

// Publishes an update, and answers its id.
export async function publish(fields) {
  const response = await fetch(HUB, {
    method: "POST",
    headers: { Authorization: `Bearer ${token({ publish: ["*"] })}` },
    body: new URLSearchParams(fields),
  }).catch(({ message, cause }) => fail(`${HUB}: ${cause?.code ?? message}`));
  const text = await response.text();
  if (!response.ok) fail(`${response.status}: ${text}`);
  return text;
}

function fail(why) {
  console.error(why);
  process.exit(1);
}

// Calls `receive` with each update, from the one after `lastEventID` on, else from now on. A path segment `{name}` of a topic stands for any
// text: a URI Template, and in 1.0 a URL Pattern. The promise is an open EventSource.
export function subscribe({ topics, bearer, lastEventID, types = ["message"] }, receive) {
  const url = new URL(HUB);
  for (const topic of topics) {
    if (!isModern) url.searchParams.append("topic", topic);
    else if (topic.includes("{")) url.searchParams.append("match_urlpattern", topic.replace(/\{(\w+)\}/g, ":$1"));
    else url.searchParams.append("match", topic);
  }
  if (lastEventID) url.searchParams.set(isModern ? "last_event_id" : "lastEventID", lastEventID);
  const headers = bearer ? { Authorization: `Bearer ${bearer}` } : {};
  const source = new EventSource(url, {
    fetch: async (url, init) => {
      // As in node/subscribe.mjs: an id in UTF-8, and an answer of 5xx is tried again.
      const { "Last-Event-ID": last = "", ...rest } = init.headers;
      const seen = last && { "Last-Event-ID": Buffer.from(last).toString("latin1") };
      const response = await fetch(url, { ...init, headers: { ...rest, ...seen, ...headers } });
      if (response.status >= 500) throw new Error(`status ${response.status}`);
      return response;
    },
  });
  source.onerror = ({ message = "the stream has ended" }) => {
    if (source.readyState === EventSource.CLOSED) fail(message);
    console.error(`again in a moment: ${message}`);
  };
  for (const type of types) source.addEventListener(type, receive);
  return new Promise((resolve) => source.addEventListener("open", () => resolve(source), { once: true }));
}
