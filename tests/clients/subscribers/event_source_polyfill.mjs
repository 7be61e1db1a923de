// npm's event-source-polyfill: a line of JSON for each event, until one of type `end`. It sends its
// last event id in the query, as `lastEventId`, which the hub takes beside the protocol's names. For
// Mercure 1.0, its option sets the protocol's name.
import polyfill from "event-source-polyfill";

const { HUB, TOKEN, PARAMETER = "topic" } = process.env;
const url = new URL(HUB);
for (const topic of process.argv.slice(2)) url.searchParams.append(PARAMETER, topic);

const source = new polyfill.EventSourcePolyfill(url.href, {
  headers: { Authorization: `Bearer ${TOKEN}` },
  ...(PARAMETER !== "topic" && { lastEventIdQueryParameterName: "last_event_id" }),
});
for (const name of ["message", "kind", "end"]) {
  source.addEventListener(name, ({ lastEventId, type, data }) => {
    console.log(JSON.stringify({ id: lastEventId, type, data }));
    if (type === "end") source.close();
  });
}
