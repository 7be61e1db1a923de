// npm's @microsoft/fetch-event-source: a line of JSON for each event, until one of type `end`. For
// Mercure 1.0 with the method QUERY, which has the matchers in its body.
import { createRequire } from "node:module";

// It is made for browsers: it takes its timers from `window`, and looks at `document` when it is done.
globalThis.window = globalThis;
globalThis.document = { addEventListener() {}, removeEventListener() {} };
// Its ES modules have no endings in their imports, which bundlers allow and Node does not: so its CommonJS build.
const { fetchEventSource } = createRequire(import.meta.url)("@microsoft/fetch-event-source");

const { HUB, TOKEN, PARAMETER = "topic" } = process.env;
const form = new URLSearchParams(process.argv.slice(2).map((topic) => [PARAMETER, topic]));
const [url, query] = PARAMETER === "topic" ? [`${HUB}?${form}`, {}] : [HUB, { method: "QUERY", body: form }];

const end = new AbortController();
// It takes an id for seen when the line is there, though the rest of the event may never come: so the id is told from what has
// arrived as a whole.
let seen;
await fetchEventSource(url, {
  ...query,
  headers: { Authorization: `Bearer ${TOKEN}` },
  signal: end.signal,
  openWhenHidden: true,
  fetch: (url, { headers: { "last-event-id": _, ...headers }, ...rest }) =>
    fetch(url, { ...rest, headers: seen ? { ...headers, "Last-Event-ID": Buffer.from(seen).toString("latin1") } : headers }),
  onmessage({ id, event, data }) {
    seen = id;
    console.log(JSON.stringify({ id, type: event || "message", data }));
    if (event === "end") end.abort();
  },
});
