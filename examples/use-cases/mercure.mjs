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
  }).catch(({ message, cause }) => fail(`${HUB}: ${cause?.code ?? message}`));
  const text = await response.text();
  if (!response.ok) fail(`${response.status}: ${text}`);
  return text;
}

function fail(why) {
  console.error(why);
  process.exit(1);
}

// Calls `receive` with each update, from the one after `lastEventID` on, else from now on. The promise is an open EventSource.
export function subscribe({ topics, bearer, lastEventID, types = ["message"] }, receive) {
  const url = new URL(HUB);
  for (const topic of topics) url.searchParams.append("topic", topic);
  if (lastEventID) url.searchParams.set("lastEventID", lastEventID);
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
