#!/usr/bin/env python3
"""What a conformance test of a hub does from a page of the hub's own origin, in Chromium: native EventSource and fetch alone.

usage: conformance.py ORIGIN CHROMEDRIVER_URL

The hub is one of demo mode. The tokens are made here, as such a test makes them: HS256, with the demo key.
"""

import base64
import hashlib
import hmac
import json
import sys

from chromium import browser

HUB = "/.well-known/mercure"
KEY = b"!ChangeThisMercureHubJWTSecretKey!"


def token(**mercure):
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    text = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps({"mercure": mercure}).encode())
    return (text + b"." + part(hmac.new(KEY, text, hashlib.sha256).digest())).decode()


# Subscribes, publishes, and answers what came up to a last update that every selector list of a case has: what is not there by then
# was not sent, for the hub has one order.
SCRIPT = """
const [hubPath, token, selectors, updates, credentials] = given;
const hub = new URL(hubPath, location);
const marker = 'end:' + crypto.randomUUID();
const url = new URL(hub);
for (const selector of [...selectors, marker]) url.searchParams.append('topic', selector);
const source = new EventSource(url, credentials ? {withCredentials: true} : {});
const received = [];
const ended = new Promise((resolve, reject) => {
    const take = ({data, type, lastEventId}) => {
        if (data === marker) { source.close(); resolve(); }
        else received.push([lastEventId, type, data]);
    };
    for (const type of ['message', 'kind']) source.addEventListener(type, take);
    source.onerror = () => reject(new Error('the stream broke; readyState ' + source.readyState));
    setTimeout(() => reject(new Error('time is over, received ' + JSON.stringify(received))), 15000);
});
await Promise.race([ended, new Promise(resolve => source.addEventListener('open', resolve))]);
const publish = async fields => {
    const body = new URLSearchParams();
    for (const [name, value] of fields) body.append(name, value);
    const response = await fetch(hub, {method: 'POST', headers: {Authorization: 'Bearer ' + token}, body});
    const text = await response.text();
    if (response.status !== 200) throw new Error(response.status + ': ' + text);
    const custom = fields.find(([name]) => name === 'id');
    if (custom && custom[1] !== text) throw new Error('the id became ' + text);
    return text;
};
const ids = [];
for (const fields of updates) ids.push(await publish(fields));
await publish([['topic', marker], ['data', marker]]);
await ended;
return {received, ids};
"""

BOOK = "https://example.com/books/1"
PRIVATE = [("topic", BOOK), ("data", "secret"), ("private", "on"), ("id", "p1")]
PUBLIC = [("topic", BOOK), ("data", "open"), ("id", "p2")]
GRANTED = {"subscribe": ["https://example.com/books/{id}"]}

# name, selectors, cookie's claim, updates, what is received: indices of the updates.
CASES = [
    ("a raw string", ["a raw string"], None, [[("topic", "a raw string"), ("data", "x")], [("topic", "another"), ("data", "y")]], [0]),
    ("a raw string with everything that a query could spoil", ["é &=+%/?#;,{"], None, [[("topic", "é &=+%/?#;,{"), ("data", "x")]], [0]),
    ("a URI", [BOOK], None, [[("topic", BOOK), ("data", "x")], [("topic", BOOK + "/"), ("data", "y")]], [0]),
    ("a URI template", ["https://example.com/books/{id}"], None,
     [[("topic", BOOK), ("data", "x")], [("topic", "https://example.com/books/1/pages/2"), ("data", "y")],
      [("topic", "https://example.com/books/{id}"), ("data", "the template as a topic")]], [0, 2]),
    ("a URI template with a query", ["https://example.com/books{?page,sort}"], None,
     [[("topic", "https://example.com/books?page=2&sort=asc"), ("data", "x")], [("topic", "https://example.com/books"), ("data", "y")],
      [("topic", "https://example.com/books/2"), ("data", "z")]], [0, 1]),
    ("all topics", ["*"], None, [[("topic", "one"), ("data", "x")], [("topic", BOOK), ("data", "y")]], [0, 1]),
    ("several topics of a subscriber", ["first", BOOK, "https://example.com/users/{id}"], None,
     [[("topic", "first"), ("data", "1")], [("topic", BOOK), ("data", "2")], [("topic", "https://example.com/users/ada"), ("data", "3")],
      [("topic", "second"), ("data", "4")]], [0, 1, 2]),
    ("several topics of an update, received once", ["https://example.com/alternate", BOOK], None,
     [[("topic", BOOK), ("topic", "https://example.com/alternate"), ("data", "x")]], [0]),
    ("an alternate topic alone", ["https://example.com/alternate"], None,
     [[("topic", BOOK), ("topic", "https://example.com/alternate"), ("topic", "raw"), ("data", "x")]], [0]),
    ("an id of its own", [BOOK], None,
     [[("topic", BOOK), ("data", "x"), ("id", "custom")], [("topic", BOOK), ("data", "y"), ("id", "urn:é:ü/1?a=b#c")]], [0, 1]),
    ("several lines", [BOOK], None, [[("topic", BOOK), ("data", "one\ntwo\n\nfour"), ("id", "lines")]], [0]),
    ("lines with every ending", [BOOK], None, [[("topic", BOOK), ("data", "one\r\ntwo\rthree\n")]], [0]),
    ("no data, and nothing but a space", [BOOK], None, [[("topic", BOOK)], [("topic", BOOK), ("data", "")], [("topic", BOOK), ("data", " ")]],
     [0, 1, 2]),
    ("non-ASCII data", [BOOK], None, [[("topic", BOOK), ("data", "Zażółć gęślą jaźń — 日本語 🦀")]], [0]),
    ("a type and a time of reconnection", [BOOK], None, [[("topic", BOOK), ("data", "x"), ("type", "kind"), ("retry", "1000")]], [0]),
    ("private updates, anonymously", [BOOK, "*"], None, [PRIVATE, PUBLIC], [1]),
    ("private updates, with a cookie", [BOOK], GRANTED, [PRIVATE, PUBLIC], [0, 1]),
    ("private updates, with a cookie for all", [BOOK], {"subscribe": ["*"]}, [PRIVATE, PUBLIC], [0, 1]),
    ("private updates, with a cookie for others", ["*"], {"subscribe": ["https://example.com/users/{id}"]}, [PRIVATE, PUBLIC], [1]),
    ("a private update whose alternate topic is granted", ["*"], {"subscribe": ["granted"]},
     [[("topic", BOOK), ("topic", "granted"), ("data", "x"), ("private", "")]], [0]),
]


def expected(fields, made):
    first = dict(reversed(fields))
    data = first.get("data", "").replace("\r\n", "\n").replace("\r", "\n")
    return [made, first.get("type", "message"), data]


def main():
    origin, driver = sys.argv[1:]
    publisher = token(publish=["*"])
    failed = 0
    with browser(driver) as page:
        # The page of the hub, its 404, and another answer of its origin: what their policies let a script do is enough.
        for path in ("/", "/nowhere", "/healthz"):
            page.open(origin + path)
            for name, selectors, claim, updates, indices in CASES:
                page.delete_cookies()
                if claim:
                    page.set_cookie("mercureAuthorization", token(**claim))
                try:
                    result = page.run(SCRIPT, HUB, publisher, selectors, updates, bool(claim))
                except RuntimeError as error:
                    result = {"received": str(error), "ids": [None] * len(updates)}
                wanted = [expected(updates[index], result["ids"][index]) for index in indices]
                if result["received"] != wanted:
                    failed += 1
                    print(f"{path}: {name}: received {result['received']}, not {wanted}")
            page.delete_cookies()
            answer = page.run("return (await fetch(given[0], {method: 'POST', body: new URLSearchParams({topic: 'a'})})).status", HUB)
            if answer != 401:
                failed += 1
                print(f"{path}: a publication without a token: {answer}")
    if failed:
        sys.exit(f"{failed} cases failed")
    print(f"{len(CASES)} cases on three pages of the hub's own origin")


main()
