// A GraphQL subscription over the hub: the server runs it, and publishes each result at a topic of its own, privately; the client gets
// that topic and a token for it, and needs no connection to the server.
import { randomUUID } from "node:crypto";
import { buildSchema, parse, subscribe as execute } from "graphql";
import { publish, subscribe, token } from "./mercure.mjs";

const schema = buildSchema(`
  type Query { _: Boolean }
  type Review { stars: Int, text: String }
  type Subscription { reviewAdded(book: ID!): Review }
`);
const rootValue = {
  async *reviewAdded({ book }) {
    yield { reviewAdded: { stars: 5, text: `I could not put ${book} down` } };
    yield { reviewAdded: { stars: 1, text: "Too long" } };
  },
};

// The server: what it answers when a client posts a subscription.
async function accept(query) {
  const results = await execute({ schema, document: parse(query), rootValue });
  if (results.errors) return results;
  const topic = `urn:uuid:${randomUUID()}`;
  const lastEventID = await publish({ topic, type: "next", data: "{}", private: "on" });
  // A server that runs long ends it when the client's subscription is gone from the hub: docs/subscriptions.md.
  (async () => {
    for await (const result of results) await publish({ topic, type: "next", data: JSON.stringify(result), private: "on" });
    await publish({ topic, type: "complete", private: "on" });
  })();
  return { topic, lastEventID, bearer: token({ subscribe: [topic] }) };
}

// The client.
const { topic, ...answer } = await accept(`subscription { reviewAdded(book: "Ulysses") { stars text } }`);
await subscribe({ topics: [topic], types: ["next", "complete"], ...answer }, ({ type, data, target }) => {
  if (type !== "complete") return console.log(data);
  target.close();
  // Node 18 would keep the closed connection open.
  process.exit();
});
