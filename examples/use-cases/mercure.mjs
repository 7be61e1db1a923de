// What the examples in JavaScript share: a token, a publication, a subscription.
import { createHmac } from "node:crypto";
import { EventSource } from "eventsource";

export const { HUB, JWT_KEY } = process.env;

// A token for what may be published and received, for an hour. Only servers know the key.
export function token(mercure) {
  const part = (object) => Buffer.from(JSON.stringify(object)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ mercure, exp })}`;
  return `${text}.${createHmac("sha256", JWT_KEY).update(text).digest("base64url")}`;
}

// Publishes an update, and answers its id.
export async function publish(fields) {
  const response = await fetch(HUB, {
    method: "POST",
    headers: { Authorization: `Bearer ${token({ publish: ["*"] })}` },
    body: new URLSearchParams(fields),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return response.text();
}

// Calls `receive` with each update, from the one after `lastEventID` on, else from now on. The promise is an open EventSource.
export function subscribe({ topics, bearer, lastEventID, types = ["message"] }, receive) {
  const url = new URL(HUB);
  for (const topic of topics) url.searchParams.append("topic", topic);
  if (lastEventID) url.searchParams.set("lastEventID", lastEventID);
  const headers = bearer ? { Authorization: `Bearer ${bearer}` } : {};
  const source = new EventSource(url, {
    fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, ...headers } }),
  });
  for (const type of types) source.addEventListener(type, receive);
  return new Promise((resolve) => source.addEventListener("open", () => resolve(source), { once: true }));
}
