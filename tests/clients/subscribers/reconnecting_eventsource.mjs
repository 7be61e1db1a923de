// npm's reconnecting-eventsource: a line of JSON for each event, until one of type `end`.
import { EventSource } from "eventsource";
import Reconnecting from "reconnecting-eventsource";

// After an answer that is no stream (a gateway's 503) it makes a new EventSource, and tells its last event id in the query, by a
// name that no version of the protocol has.
class ForMercure extends EventSource {
  constructor(url, options) {
    const renamed = new URL(url);
    const id = renamed.searchParams.get("lastEventId");
    renamed.searchParams.delete("lastEventId");
    if (id !== null) renamed.searchParams.set("lastEventID", id);
    const headers = { Authorization: `Bearer ${process.env.TOKEN}` };
    super(renamed, { ...options, fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, ...headers } }) });
  }
}

const url = new URL(process.env.HUB);
for (const topic of process.argv.slice(2)) url.searchParams.append("topic", topic);

const source = new (Reconnecting.default ?? Reconnecting)(url, { eventSourceClass: ForMercure, max_retry_time: 500 });
for (const name of ["message", "kind", "end"]) {
  // With listeners, not with `onmessage`: only they keep the last event id.
  source.addEventListener(name, ({ lastEventId, type, data }) => {
    console.log(JSON.stringify({ id: lastEventId, type, data }));
    if (type === "end") source.close();
  });
}
