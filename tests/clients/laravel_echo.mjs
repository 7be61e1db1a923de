// npm's Laravel Echo over Mercure 1.0, with clients of 0.x on the same hub. The released versions of
// Echo have no connector for Mercure, so the one below is passed in the option `broadcaster`. It sends
// the requests of Laravel's own connector (MERCURE-1.0, section 7.5). `authenticate` and `broadcast`
// do what Laravel's server does, `browser` what a browser does: the cookie and the origin.
import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { EventSource } from "eventsource";
import Echo, { Channel, Connector, EventFormatter } from "laravel-echo";

const { HUB, TOKEN, ISSUER, ISSUER_KEY, COOKIE, PAGE } = process.env;
const { pathname } = new URL(HUB);
const PREFIX = "https://laravel.alt/echo/";
// As PHP's rawurlencode.
const encode = (text) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (found) => `%${found.charCodeAt(0).toString(16).toUpperCase()}`);
const channelTopic = (name) => `${PREFIX}channel/${encode(name)}`;
const whisperTopic = (name) => `${PREFIX}whisper/${encode(name)}`;
const membersPattern = (name, rest) => `${pathname}/subscriptions/:match_type/${encode(channelTopic(name))}${rest}`;
const isGuarded = (name) => /^(private|presence)-/.test(name);

// Until it holds, for ten seconds.
async function until(what, holds) {
  for (const end = Date.now() + 10_000; !holds(); await new Promise((resolve) => setTimeout(resolve, 20))) {
    assert(Date.now() < end, JSON.stringify({ wanted: what, seen }));
  }
}

// The server's side: tokens, POST /broadcasting/auth, and broadcasts.

function accessToken(sub, details, lifetime) {
  const iat = Math.floor(Date.now() / 1000);
  const type = "https://mercure.rocks/authorization-detail";
  const authorization_details = details.map(([actions, topics, payload]) => ({ type, actions, topics, payload }));
  const claims = { sub, exp: iat + lifetime, aud: HUB, iss: ISSUER, client_id: ISSUER, authorization_details, iat, jti: randomUUID() };
  // As PHP's json_encode.
  const part = (value) => Buffer.from(JSON.stringify(value).replaceAll("/", "\\/")).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "at+jwt" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", ISSUER_KEY).update(signed).digest("base64url")}`;
}

function authenticate(user, channels, lifetime) {
  const exact = (topic) => ({ match: topic });
  const shared = channels.filter((name) => name.startsWith("private-"));
  const details = channels
    .filter((name) => name.startsWith("presence-"))
    .map((name) => {
      const pattern = { match: membersPattern(name, "{/:subscriber}?"), match_type: "urlpattern" };
      return [["subscribe"], [exact(channelTopic(name)), pattern], user];
    });
  if (shared.length) details.unshift([["subscribe"], shared.map(channelTopic).map(exact)]);
  const whispers = channels.filter(isGuarded).map(whisperTopic).map(exact);
  if (whispers.length) details.push([["subscribe", "publish"], whispers]);
  return accessToken(String(user.id), details, lifetime);
}

const server = accessToken(ISSUER, [[["publish"], [{ match: "*" }]]], 3600);

async function broadcast(channel, event, payload, bearer = server) {
  const body = new URLSearchParams({ topic: channelTopic(channel) });
  body.append("data", JSON.stringify({ channels: [channel], event, payload }).replaceAll("/", "\\/"));
  if (isGuarded(channel)) body.append("private", "on");
  const answer = await fetch(HUB, { method: "POST", headers: { Authorization: `Bearer ${bearer}` }, body });
  assert.equal(answer.status, 200, channel);
  return answer.text();
}

// The browser's side.

// What a browser with this user's cookie does for a page of the application.
function browser(user, lifetime = 3600) {
  const jar = { cookie: "", logins: 0, refused: 0, cursors: [] };
  jar.login = (channels) => {
    jar.cookie = `${COOKIE}=${authenticate(user, channels, jar.logins++ ? 3600 : lifetime)}`;
  };
  jar.fetch = async (url, init = {}) => {
    const headers = { ...init.headers, Cookie: jar.cookie, Origin: PAGE };
    const answer = await fetch(url, { ...init, headers });
    if (answer.status === 401) jar.refused++;
    else {
      assert.equal(answer.headers.get("access-control-allow-origin"), PAGE);
      assert.equal(answer.headers.get("access-control-allow-credentials"), "true");
    }
    jar.cursors.push(answer.headers.get("mercure-last-event-id"));
    return answer;
  };
  return jar;
}

class MercureChannel extends Channel {
  constructor(name, connector) {
    super();
    const formatter = new EventFormatter(connector.options.namespace);
    Object.assign(this, { name, connector, formatter, callbacks: new Map(), members: new Map(), early: [] });
  }
  on(event, callback) {
    this.callbacks.set(event, [...(this.callbacks.get(event) ?? []), callback]);
    return this;
  }
  emit = (event, value) => this.callbacks.get(event)?.forEach((callback) => callback(value));
  listen = (event, callback) => this.on(this.formatter.format(event), callback);
  here = (callback) => this.on("here", callback);
  joining = (callback) => this.on("joining", callback);
  leaving = (callback) => this.on("leaving", callback);
  whisper(event, payload) {
    this.connector.whisper(this.name, `client-${event}`, payload);
    return this;
  }
  // A subscription without a payload is not of a member.
  member({ subscriber, active, payload }) {
    // Before the list is there: it may have this one already.
    if (this.early) this.early.push({ subscriber, active, payload });
    else if (active && payload && !this.members.has(subscriber)) {
      this.members.set(subscriber, payload);
      this.emit("joining", payload);
    } else if (!active && this.members.has(subscriber)) {
      this.emit("leaving", this.members.get(subscriber));
      this.members.delete(subscriber);
    }
  }
  list(subscriptions) {
    for (const { subscriber, active, payload } of subscriptions) {
      if (active && payload) this.members.set(subscriber, payload);
    }
    this.emit("here", [...this.members.values()].sort((one, other) => one.id - other.id));
    const early = this.early;
    this.early = undefined;
    early.forEach((subscription) => this.member(subscription));
  }
}

class MercureConnector extends Connector {
  connect() {
    Object.assign(this, { channels: {}, id: randomUUID(), last: {}, sources: [] });
  }
  channel(name) {
    if (!this.channels[name]) {
      this.channels[name] = new MercureChannel(name, this);
      // Those of one tick share a connection.
      this.opening ??= Promise.resolve().then(() => this.open());
    }
    return this.channels[name];
  }
  privateChannel = (name) => this.channel(`private-${name}`);
  presenceChannel = (name) => this.channel(`presence-${name}`);
  socketId = () => this.id;
  disconnect = () => this.sources.forEach((source) => source.close());

  open() {
    this.opening = undefined;
    this.disconnect();
    const names = Object.keys(this.channels);
    this.options.jar.login(names);
    const present = names.filter((name) => name.startsWith("presence-"));
    const patterns = present.map((name) => membersPattern(name, "/:subscriber"));
    const main = this.stream("main", names.map(channelTopic), patterns);
    // The list is read once the stream is there, so it has the reader itself.
    main.onopen = () => present.forEach((name) => this.list(name));
    main.addEventListener("mercure", ({ data, lastEventId }) => {
      this.last.main = lastEventId;
      const { match_type, match, ...rest } = JSON.parse(data);
      const name = names.find((name) => channelTopic(name) === match);
      if (match_type === "exact" && name) this.channels[name].member(rest);
    });
    this.sources = [main, this.stream("whispers", names.filter(isGuarded).map(whisperTopic), [])];
  }

  stream(kind, topics, patterns) {
    const url = new URL(HUB);
    for (const topic of topics) url.searchParams.append("match", topic);
    for (const pattern of patterns) url.searchParams.append("match_urlpattern", pattern);
    if (this.last[kind]) url.searchParams.set("last_event_id", this.last[kind]);
    const source = new EventSource(url, { withCredentials: true, fetch: this.options.jar.fetch });
    source.onmessage = ({ data, lastEventId }) => {
      this.last[kind] = lastEventId;
      const { channels, event, payload, socket } = JSON.parse(data);
      const isAsked = kind === "main" || event.startsWith("client-");
      if (socket !== this.id && isAsked) for (const name of channels) this.channels[name]?.emit(event, payload);
    };
    source.onerror = () => {
      // The cookie has expired.
      if (source.readyState === EventSource.CLOSED && kind === "main") setTimeout(() => this.open(), 100);
    };
    return source;
  }

  async list(name) {
    const answer = await this.options.jar.fetch(`${HUB}/subscriptions/exact/${encode(channelTopic(name))}`);
    assert.equal(answer.status, 200);
    this.channels[name].list((await answer.json()).subscriptions);
  }

  async whisper(name, event, payload) {
    const data = JSON.stringify({ channels: [name], event, payload, socket: this.id });
    const body = new URLSearchParams({ topic: whisperTopic(name), data, private: "on" });
    const answer = await this.options.jar.fetch(HUB, { method: "POST", body });
    assert.equal(answer.status, 200, "a whisper");
  }
}

const echo = (jar) => new Echo({ broadcaster: MercureConnector, withoutInterceptors: true, jar });
const room = `room (${process.pid})`;
const orders = `orders.${process.pid}`;
const seen = [];
const note = (who, what) => (value) => seen.push([who, what, value]);
const has = (...entry) => seen.some((found) => JSON.stringify(found) === JSON.stringify(entry));
const sees = (...entry) => until(entry, () => has(...entry));

// Clients of 0.x beside: one reads what Laravel broadcasts, the other has no token.
const old = (topic, headers, who) => {
  const source = new EventSource(`${HUB}?topic=${encodeURIComponent(topic)}`, {
    fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, ...headers } }),
  });
  source.onmessage = ({ data }) => note(who, "reads")(JSON.parse(data).payload);
  return new Promise((resolve) => (source.onopen = () => resolve(source)));
};
const others = [
  await old(`${PREFIX}channel/{name}`, { Authorization: `Bearer ${TOKEN}` }, "old"),
  await old(channelTopic(`presence-${room}`), {}, "stranger"),
];
// Nor has this one of 1.0: it is in the list of the room, without a payload, and is no member.
const phantom = new EventSource(`${HUB}?match=${encodeURIComponent(channelTopic(`presence-${room}`))}`);
phantom.onmessage = note("phantom", "reads");
await until("the phantom", () => phantom.readyState === EventSource.OPEN);

const [anna, ben, cleo] = ["Anna", "Ben", "Cleo"].map((name, index) => ({ id: index + 1, name }));
function enter(user, echo) {
  const { name } = user;
  const channel = echo.join(room).here(note(name, "here")).joining(note(name, "joining")).leaving(note(name, "leaving"));
  channel.listenForWhisper("typing", note(name, "whisper")).listen("Message", note(name, "message"));
  return channel;
}
// The first cookie of this one soon expires.
const short = browser(cleo, 2);
const ofCleo = echo(short);
ofCleo.private(orders).listen("OrderShipped", note("Cleo", "order"));
await until("Cleo is there", () => ofCleo.connector.sources[0]?.readyState === EventSource.OPEN);
await broadcast(`private-${orders}`, "App\\Events\\OrderShipped", { number: 1 });
await sees("Cleo", "order", { number: 1 });
await sees("old", "reads", { number: 1 });

const ofAnna = echo(browser(anna));
const hers = enter(anna, ofAnna);
await sees("Anna", "here", [anna]);
const ofBen = echo(browser(ben));
const his = enter(ben, ofBen);
ofBen.channel("news").listen("Headline", note("Ben", "headline"));
await sees("Ben", "here", [anna, ben]);
await sees("Anna", "joining", ben);

hers.whisper("typing", { by: "Anna" });
await sees("Ben", "whisper", { by: "Anna" });
await broadcast(`presence-${room}`, "App\\Events\\Message", { text: "Hello / 世界" });
await sees("Anna", "message", { text: "Hello / 世界" });
await sees("Ben", "message", { text: "Hello / 世界" });
await broadcast("news", "App\\Events\\Headline", "for everybody");
await sees("Ben", "headline", "for everybody");
await sees("old", "reads", "for everybody");
// A publisher of 0.x, to members of 1.0.
await broadcast(`presence-${room}`, "App\\Events\\Message", { text: "by an old publisher" }, TOKEN);
await sees("Anna", "message", { text: "by an old publisher" });

// A member may whisper, and publish nothing else.
const forged = new URLSearchParams({ topic: channelTopic(`presence-${room}`), data: "{}", private: "on" });
assert.equal((await ofBen.options.jar.fetch(HUB, { method: "POST", body: forged })).status, 403);

// While its cookie is no longer good, Cleo misses an order. A new cookie is made, and it arrives.
await until("401", () => short.refused);
const last = ofCleo.connector.last.main;
await broadcast(`private-${orders}`, "App\\Events\\OrderShipped", { number: 2 });
await sees("Cleo", "order", { number: 2 });
assert.equal(seen.filter(([who]) => who === "Cleo").length, 2, "nothing twice");
assert(short.cursors.includes(last), "the response names the event it goes on after");
assert(short.logins >= 2);

ofBen.disconnect();
await sees("Anna", "leaving", ben);
for (const who of ["phantom", "stranger"]) assert(!seen.some(([name]) => name === who), who);
assert.deepEqual(
  seen.filter(([who, what]) => who === "Anna" && /here|joining|leaving/.test(what)).map(([, what]) => what),
  ["here", "joining", "leaving"],
);
assert(his.members.size === 2 && !has("Anna", "whisper", { by: "Anna" }));
for (const source of [...others, phantom]) source.close();
for (const open of [ofAnna, ofCleo]) open.disconnect();
console.log("laravel-echo: passed");
