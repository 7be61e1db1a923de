// Live availability: whoever looks at a product sees at once what is left of it. Public, one topic for each product, and each update is
// the whole state, so that the newest is all that anyone needs.
import { publish, subscribe } from "./mercure.mjs";

const shop = "https://shop.example/products";
let left = 3;

// A page that shows all products: one selector for all of them.
await subscribe({ topics: [`${shop}/{id}/availability`] }, ({ data, target }) => {
  const { product, left } = JSON.parse(data);
  console.log(`${product}: ${left ? `${left} left` : "sold out"}`);
  if (!left) target.close();
});

// The shop: after each sale.
while (left > 0) {
  left -= 1;
  await publish({ topic: `${shop}/7/availability`, data: JSON.stringify({ product: `${shop}/7`, left }) });
}
