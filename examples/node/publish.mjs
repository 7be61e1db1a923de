// Publishes an update, and prints its id. In examples/, with HUB and TOKEN as README.md sets them:
// $ node node/publish.mjs https://example.com/books/1 '{"stock": 3}'
const { HUB, TOKEN } = process.env;
const [topic, data, ...rest] = process.argv.slice(2);
if (data === undefined || rest.length) fail("usage: publish.mjs TOPIC DATA");

const response = await fetch(HUB, {
  method: "POST",
  headers: { Authorization: `Bearer ${TOKEN}` },
  body: new URLSearchParams({ topic, data }),
}).catch(({ message, cause }) => fail(`${HUB}: ${cause?.code ?? message}`));
const text = await response.text();
if (!response.ok) fail(`${response.status}: ${text}`);
console.log(text);

function fail(why) {
  console.error(why);
  process.exit(1);
}
