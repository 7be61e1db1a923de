// Subscribes to the topics of its command line, and prints each update, until one of type `end` comes. In examples/, with HUB and TOKEN
// as README.md sets them:
// $ node node/subscribe.mjs 'https://example.com/books/{id}'
// For Mercure 1.0, PARAMETER is match or match_urlpattern.
import { EventSource } from "eventsource";

const { HUB, TOKEN, PARAMETER = "topic" } = process.env;
const url = new URL(HUB);
for (const topic of process.argv.slice(2)) url.searchParams.append(PARAMETER, topic);

// It reconnects by itself, with its last event id. A browser's own EventSource sends a cookie in place of this header.
const headers = { Authorization: `Bearer ${TOKEN}` };
const source = new EventSource(url, {
  fetch: async (url, init) => {
    // `fetch` takes a header as its bytes, one for each character: those of UTF-8, for an id that is not ASCII.
    const { "Last-Event-ID": last = "", ...rest } = init.headers;
    const seen = last && { "Last-Event-ID": Buffer.from(last).toString("latin1") };
    const response = await fetch(url, { ...init, headers: { ...rest, ...seen, ...headers } });
    // It would give up after this as after a 4xx; after an error of the network it tries again.
    if (response.status >= 500) throw new Error(`status ${response.status}`);
    return response;
  },
});
source.onerror = ({ message }) => {
  const isOver = source.readyState === EventSource.CLOSED;
  console.error(`${isOver ? "refused" : "again in a moment"}: ${message ?? "the stream has ended"}`);
  if (isOver) process.exitCode = 1;
};
// An update without a type is a `message`; each other type needs a listener.
for (const name of ["message", "kind", "end"]) {
  source.addEventListener(name, ({ lastEventId, type, data }) => {
    console.log(JSON.stringify({ id: lastEventId, type, data }));
    if (type === "end") source.close();
  });
}
