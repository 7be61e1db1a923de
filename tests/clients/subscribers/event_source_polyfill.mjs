// npm's event-source-polyfill: a line of JSON for each event, until one of type `end`. It tells its last event id in the query, as
// `lastEventId`, which the hub takes beside the protocol's names.
import polyfill from "event-source-polyfill";

const url = new URL(process.env.HUB);
for (const topic of process.argv.slice(2)) url.searchParams.append("topic", topic);

const source = new polyfill.EventSourcePolyfill(url.href, {
  headers: { Authorization: `Bearer ${process.env.TOKEN}` },
});
for (const name of ["message", "kind", "end"]) {
  source.addEventListener(name, ({ lastEventId, type, data }) => {
    console.log(JSON.stringify({ id: lastEventId, type, data }));
    if (type === "end") source.close();
  });
}
