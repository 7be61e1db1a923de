// npm's event-source-polyfill: a line of JSON for each event, until one of type `end`.
import polyfill from "event-source-polyfill";

const url = new URL(process.env.HUB);
for (const topic of process.argv.slice(2)) url.searchParams.append("topic", topic);

const source = new polyfill.EventSourcePolyfill(url.href, {
  headers: { Authorization: `Bearer ${process.env.TOKEN}` },
  // It tells its last event id in the query, and `lastEventId`, its own name for it, is not the protocol's.
  lastEventIdQueryParameterName: "lastEventID",
});
for (const name of ["message", "kind", "end"]) {
  source.addEventListener(name, ({ lastEventId, type, data }) => {
    console.log(JSON.stringify({ id: lastEventId, type, data }));
    if (type === "end") source.close();
  });
}
