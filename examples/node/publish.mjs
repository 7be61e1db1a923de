// Publishes an update, and prints its id. In examples/, with HUB and TOKEN as README.md sets them:
// $ node node/publish.mjs https://example.com/books/1 '{"stock": 3}'
const [topic, data] = process.argv.slice(2);
const response = await fetch(process.env.HUB, {
  method: "POST",
  headers: { Authorization: `Bearer ${process.env.TOKEN}` },
  body: new URLSearchParams({ topic, data }),
});
const text = await response.text();
if (response.ok) {
  console.log(text);
} else {
  console.error(`${response.status}: ${text}`);
  process.exitCode = 1;
}
