// What the uses in examples/ subscribe with, in JavaScript: a line of JSON for each event, until one of type `end`.
import { subscribe } from "../../../examples/use-cases/mercure.mjs";

const [topics, bearer] = [process.argv.slice(2), process.env.TOKEN];
await subscribe({ topics, bearer, types: ["message", "kind", "end"] }, ({ lastEventId, type, data, target }) => {
  console.log(JSON.stringify({ id: lastEventId, type, data }));
  if (type === "end") target.close();
});
