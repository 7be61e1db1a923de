// npm's reconnecting-eventsource: a line of JSON for each event, until one of type `end`.
import { EventSource } from "eventsource";
import Reconnecting from "reconnecting-eventsource";

// After an answer that is no stream (a gateway's 503) it makes a new EventSource, and tells its last event id in the query, as
// `lastEventId`, which the hub takes beside the protocol's names.
class WithToken extends EventSource {
  constructor(url, options) {
    const headers = { Authorization: `Bearer ${process.env.TOKEN}` };
    // As in examples/node: an id that is not ASCII, in UTF-8.
    const seen = (id) => id && { "Last-Event-ID": Buffer.from(id).toString("latin1") };
    super(url, {
      ...options,
      fetch: (url, { headers: { "Last-Event-ID": id, ...rest }, ...init }) =>
        fetch(url, { ...init, headers: { ...rest, ...seen(id), ...headers } }),
    });
  }
}

const url = new URL(process.env.HUB);
for (const topic of process.argv.slice(2)) url.searchParams.append(process.env.PARAMETER ?? "topic", topic);

const source = new (Reconnecting.default ?? Reconnecting)(url, { eventSourceClass: WithToken, max_retry_time: 500 });
for (const name of ["message", "kind", "end"]) {
  // With listeners, not with `onmessage`: only they keep the last event id.
  source.addEventListener(name, ({ lastEventId, type, data }) => {
    console.log(JSON.stringify({ id: lastEventId, type, data }));
    if (type === "end") source.close();
  });
}
