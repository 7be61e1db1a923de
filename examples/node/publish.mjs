// Publishes an update, and prints its id.
// HUB=http://localhost:3000/.well-known/mercure TOKEN=… node publish.mjs https://example.com/books/1 '{"stock": 3}'
const [topic, data] = process.argv.slice(2);
const response = await fetch(process.env.HUB, {
  method: "POST",
  headers: { Authorization: `Bearer ${process.env.TOKEN}` },
  body: new URLSearchParams({ topic, data }),
});
const text = await response.text();
if (!response.ok) throw new Error(`${response.status}: ${text}`);
console.log(text);
