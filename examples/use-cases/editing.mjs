// Collaborative editing: the hub's order of updates is the order of edits. Everyone applies what comes from the hub, the own edits as
// well, so all have the same text. Who comes later loads a snapshot, and the updates after it.
import { publish, subscribe, token } from "./mercure.mjs";

const topic = "https://example.com/documents/1";

class Editor {
  constructor(name, { lines, lastEventID } = { lines: [], lastEventID: "" }) {
    Object.assign(this, { name, lines: [...lines], lastEventID, waiting: [] });
  }

  async open() {
    const { lastEventID } = this;
    const bearer = token({ subscribe: [topic] });
    this.source = await subscribe({ topics: [topic], bearer, lastEventID }, (event) => this.apply(event));
  }

  // An edit replaces a line which its author saw with this text. Whose edit comes second finds another text, and is dropped, by everyone.
  apply({ data, lastEventId }) {
    const { line, from, to } = JSON.parse(data);
    if ((this.lines[line] ?? "") === from) this.lines[line] = to;
    this.lastEventID = lastEventId;
    this.waiting = this.waiting.filter(({ id, resolve }) => id !== lastEventId || resolve());
  }

  // Resolves when this editor has applied the update.
  seen(id) {
    return id === this.lastEventID ? undefined : new Promise((resolve) => this.waiting.push({ id, resolve }));
  }

  edit(line, to) {
    const data = JSON.stringify({ line, from: this.lines[line] ?? "", to });
    return publish({ topic, data, private: "on" });
  }
}

const ada = new Editor("ada");
const ben = new Editor("ben");
await Promise.all([ada.open(), ben.open()]);

let id = await ada.edit(0, "Title");
await Promise.all([ada.seen(id), ben.seen(id)]);
const snapshot = { lines: ada.lines, lastEventID: ada.lastEventID };

// Both at once, the same line: one of them wins, and it is the same one everywhere.
await Promise.all([ada.edit(0, "Ada's title"), ben.edit(0, "Ben's title")]);
id = await ben.edit(1, "First line");
await Promise.all([ada.seen(id), ben.seen(id)]);

// From the snapshot, which is three edits old.
const eve = new Editor("eve", snapshot);
await eve.open();
id = await eve.edit(2, "Second line");
await Promise.all([ada.seen(id), ben.seen(id), eve.seen(id)]);

const texts = new Set([ada, ben, eve].map(({ lines }) => lines.join(" / ")));
for (const editor of [ada, ben, eve]) editor.source.close();
console.log(texts.size === 1 ? "all have the same text" : [...texts]);
console.log([...texts][0].replace(/^(Ada|Ben)'s title/, "One title"));
