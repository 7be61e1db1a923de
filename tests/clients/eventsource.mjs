// npm's `eventsource`: open, receive, reconnect with Last-Event-ID after the server has closed, private updates by header.
import assert from "node:assert/strict";
import { EventSource } from "eventsource";

// With PARAMETER=match and its token, as a client of Mercure 1.0.
const { HUB, TOKEN, PARAMETER = "topic" } = process.env;
const cursor = PARAMETER === "topic" ? "lastEventID" : "last_event_id";
const topic = `https://example.com/npm/${process.pid}`;

async function publish(fields) {
  const response = await fetch(HUB, {
    method: "POST",
    headers: { Authorization: `Bearer ${TOKEN}` },
    body: new URLSearchParams({ topic, ...fields }),
  });
  assert.equal(response.status, 200);
  return response.text();
}

function listen(url, options) {
  const events = [];
  const waiting = [];
  const source = new EventSource(url, options);
  const push = (event) => (waiting.length ? waiting.shift()(event) : events.push(event));
  source.onmessage = push;
  source.addEventListener("custom", push);
  const next = () =>
    events.length
      ? Promise.resolve(events.shift())
      : new Promise((resolve, reject) => {
          const timer = setTimeout(() => reject(new Error("no event within 10 s")), 10_000);
          waiting.push((event) => {
            clearTimeout(timer);
            resolve(event);
          });
        });
  const opened = new Promise((resolve) => source.addEventListener("open", resolve, { once: true }));
  return { source, next, opened };
}

const url = `${HUB}?${PARAMETER}=${encodeURIComponent(topic)}`;
const anonymous = listen(url);
await anonymous.opened;
const id = await publish({ data: "first\nsecond" });
const event = await anonymous.next();
assert.deepEqual([event.data, event.lastEventId], ["first\nsecond", id]);
await publish({ data: "typed", type: "custom" });
assert.equal((await anonymous.next()).type, "custom");
anonymous.source.close();

// The client's own reconnection: what was published meanwhile arrives, and nothing twice.
const back = listen(`${url}&${cursor}=${encodeURIComponent(id)}`);
assert.equal((await back.next()).data, "typed");
back.source.close();

const granted = listen(url, {
  fetch: (input, init) =>
    fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${TOKEN}` } }),
});
await granted.opened;
await publish({ data: "secret", private: "on" });
assert.equal((await granted.next()).data, "secret");
granted.source.close();

// The method QUERY has the matchers in its body.
if (PARAMETER !== "topic") {
  const headers = { Authorization: `Bearer ${TOKEN}` };
  const body = new URLSearchParams({ match_urlpattern: "https://example.com/npm/:id", [cursor]: id });
  const asked = listen(HUB, {
    fetch: (input, init) => fetch(input, { ...init, method: "QUERY", body, headers: { ...init.headers, ...headers } }),
  });
  assert.equal((await asked.next()).data, "typed");
  assert.equal((await asked.next()).data, "secret");
  asked.source.close();
}
console.log(`eventsource, ${PARAMETER}: passed`);
