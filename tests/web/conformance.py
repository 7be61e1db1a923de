#!/usr/bin/env python3
"""What a conformance test of a hub does from a page of the hub's own origin, in Chromium: native EventSource and fetch alone.

usage: conformance.py ORIGIN CHROMEDRIVER_URL [ISSUER]

The hub speaks 0.x and 1.0 at once, with the demo key for both; ISSUER makes its tokens of 1.0, which in demo mode the hub's own name
does. The tokens are made here, as such a test makes them.
"""

import base64
import hashlib
import hmac
import json
import ssl
import sys
import urllib.request

from chromium import browser

HUB = "/.well-known/mercure"
METADATA = "/.well-known/oauth-protected-resource" + HUB
KEY = b"!ChangeThisMercureHubJWTSecretKey!"
DETAIL = "https://mercure.rocks/authorization-detail"


def signed(typ, claims):
    """A token; HS256, with the demo key."""
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    text = part(json.dumps({"alg": "HS256", "typ": typ}).encode()) + b"." + part(json.dumps(claims).encode())
    return (text + b"." + part(hmac.new(KEY, text, hashlib.sha256).digest())).decode()


class Legacy:
    """0.x: selectors in `topic`, and in the claim `mercure`."""

    name, cookie = "0.x", "mercureAuthorization"
    publisher = signed("JWT", {"mercure": {"publish": ["*"]}})

    def parameters(self, *selectors):
        return [("topic", selector) for selector in selectors]

    def token(self, subscribe):
        return signed("JWT", {"mercure": {"subscribe": subscribe}})


class Modern:
    """1.0: matchers, and a token with `typ`, `iss`, `aud`, `exp` and `authorization_details`, and with nothing else."""

    name = "1.0"

    def __init__(self, origin, issuer):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(origin + METADATA, timeout=10, context=context) as answer:
            metadata = json.load(answer)
        self.audience, self.cookie = metadata["resource"], metadata["mercure_cookie"]
        self.issuer = issuer or self.audience
        self.publisher = self.access(["publish", [("match", "*")]], ["subscribe", [("match", "*")]])

    def access(self, *entries):
        details = [{"type": DETAIL, "actions": [action], "topics": [self.topic(*matcher) for matcher in matchers]}
                   for action, matchers in entries]
        claims = {"iss": self.issuer, "aud": self.audience, "exp": 4102444800, "authorization_details": details}
        return signed("at+jwt", claims)

    @staticmethod
    def topic(name, text):
        return {"match": text, "match_type": "urlpattern"} if name == "match_urlpattern" else {"match": text}

    def parameters(self, *matchers):
        return [matcher if isinstance(matcher, tuple) else ("match", matcher) for matcher in matchers]

    def token(self, subscribe):
        return self.access(["subscribe", self.parameters(*subscribe)])


def pattern(text):
    return ("match_urlpattern", text)


# Subscribes, publishes, and answers what came up to a last update that every case selects: what is not there by then was not sent, for
# the hub has one order.
SCRIPT = """
const [hubPath, token, parameters, updates, credentials] = given;
const hub = new URL(hubPath, location);
const marker = 'end:' + crypto.randomUUID();
const url = new URL(hub);
for (const [name, text] of [...parameters, [parameters[0][0] === 'topic' ? 'topic' : 'match', marker]]) url.searchParams.append(name, text);
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
try {
    await Promise.race([ended, new Promise(resolve => source.addEventListener('open', resolve))]);
    const publish = async fields => {
        const body = new URLSearchParams();
        for (const [name, value] of fields) body.append(name, value);
        const response = await fetch(hub, {method: 'POST', headers: {Authorization: 'Bearer ' + token}, body});
        const text = await response.text();
        if (response.status !== 200) throw new Error(response.status + ': ' + text);
        const mediaType = response.headers.get('Content-Type');
        if (!mediaType.startsWith('text/plain')) throw new Error('the id came as ' + mediaType);
        const custom = fields.find(([name]) => name === 'id');
        if (custom && custom[1] !== text) throw new Error('the id became ' + text);
        return text;
    };
    const ids = [];
    for (const fields of updates) ids.push(await publish(fields));
    await publish([['topic', marker], ['data', marker]]);
    await ended;
    return {received, ids};
} finally {
    // One that is left would keep a connection from the cases after it.
    source.close();
}
"""

BOOK = "https://example.com/books/1"
BOOKS = "https://example.com/books/{id}"
BOOKS_PATTERN = pattern("https://example.com/books/:id")
PRIVATE = [("topic", BOOK), ("data", "secret"), ("private", "on"), ("id", "p1")]
PUBLIC = [("topic", BOOK), ("data", "open"), ("id", "p2")]


def plain(*topics, **fields):
    return [*(("topic", topic) for topic in topics), ("data", "x"), ("id", "own " + topics[0]), *fields.items()]


# name, selectors or matchers, what the token in the cookie may receive, updates, what is received: indices of the updates.

# The eleven of a hub of 0.24.
ELEVEN = [
    ("a raw string", ["a raw string"], None, [plain("a raw string")], [0]),
    ("a URI", [BOOK], None, [plain(BOOK)], [0]),
    ("a URI template", [BOOKS], None, [plain(BOOK)], [0]),
    ("several topics of an update", ["second"], None, [plain("first", "second")], [0]),
    ("several topics of a subscriber", ["first", BOOK], None, [plain("first"), plain(BOOK)], [0, 1]),
    ("another raw string", ["a raw string"], None, [plain("another")], []),
    ("another URI", [BOOK], None, [plain(BOOK + "2")], []),
    ("no value of the template", [BOOKS], None, [plain("https://example.com/authors/1")], []),
    ("a private update of a raw string, without a token", ["a raw string"], None, [plain("a raw string", private="on")], []),
    ("a private update of a URI, without a token", [BOOK], None, [plain(BOOK, private="on")], []),
    ("a private update of a template, without a token", [BOOKS], None, [plain(BOOK, private="on")], []),
]

# The ten of a hub of 1.0 (MERCURE-1.0, section 7.1).
TEN = [
    ("an exact string", ["an exact string"], None, [plain("an exact string")], [0]),
    ("a URI", [BOOK], None, [plain(BOOK)], [0]),
    ("two matchers", ["first", BOOK], None, [plain("first"), plain(BOOK)], [0, 1]),
    ("a URL Pattern", [BOOKS_PATTERN], None, [plain(BOOK)], [0]),
    ("another string", ["an exact string"], None, [plain("another")], []),
    ("another URI", [BOOK], None, [plain(BOOK + "2")], []),
    ("no URL of the pattern", [BOOKS_PATTERN], None, [plain("https://example.com/books/1/pages")], []),
    ("a private update of a string, without a token", ["a string"], None, [plain("a string", private="on")], []),
    ("a private update of a URI, without a token", [BOOK], None, [plain(BOOK, private="on")], []),
    ("a private update of a pattern, without a token", [BOOKS_PATTERN], None, [plain(BOOK, private="on")], []),
]

# What else a browser makes of a hub of 0.x.
LEGACY = [
    ("a raw string with everything that a query could spoil", ["é &=+%/?#;,{"], None, [[("topic", "é &=+%/?#;,{"), ("data", "x")]], [0]),
    ("a URI and one that begins with it", [BOOK], None, [[("topic", BOOK), ("data", "x")], [("topic", BOOK + "/"), ("data", "y")]], [0]),
    ("a URI template and itself", [BOOKS], None,
     [[("topic", BOOK), ("data", "x")], [("topic", "https://example.com/books/1/pages/2"), ("data", "y")],
      [("topic", BOOKS), ("data", "the template as a topic")]], [0, 2]),
    ("a URI template with a query", ["https://example.com/books{?page,sort}"], None,
     [[("topic", "https://example.com/books?page=2&sort=asc"), ("data", "x")], [("topic", "https://example.com/books"), ("data", "y")],
      [("topic", "https://example.com/books/2"), ("data", "z")]], [0, 1]),
    ("all topics", ["*"], None, [[("topic", "one"), ("data", "x")], [("topic", BOOK), ("data", "y")]], [0, 1]),
    ("topics of every kind", ["first", BOOK, "https://example.com/users/{id}"], None,
     [[("topic", "first"), ("data", "1")], [("topic", BOOK), ("data", "2")], [("topic", "https://example.com/users/ada"), ("data", "3")],
      [("topic", "second"), ("data", "4")]], [0, 1, 2]),
    ("several topics of an update, received once", ["https://example.com/alternate", BOOK], None,
     [[("topic", BOOK), ("topic", "https://example.com/alternate"), ("data", "x")]], [0]),
    ("private updates, with a cookie", [BOOK], [BOOKS], [PRIVATE, PUBLIC], [0, 1]),
    ("private updates, with a cookie for others", ["*"], ["https://example.com/users/{id}"], [PRIVATE, PUBLIC], [1]),
]

# The same of a hub of 1.0.
MODERN = [
    ("a string with everything that a query could spoil", ["é &=+%/?#;,{:"], None, [[("topic", "é &=+%/?#;,{:"), ("data", "x")]], [0]),
    ("an exact matcher, by its full name", [("match_exact", BOOK)], None, [plain(BOOK), plain(BOOK + "/")], [0]),
    ("braces and a colon, which mean nothing in it", [BOOKS, "https://example.com/books/:id"], None, [plain(BOOK), plain(BOOKS)], [1]),
    ("a URL Pattern and itself, whose colon is a segment", [BOOKS_PATTERN], None, [plain("https://example.com/books/:id")], [0]),
    ("a URL Pattern, whatever the query, the fragment and the case of the host", [BOOKS_PATTERN], None,
     [plain(BOOK + "?page=2#end"), plain("https://EXAMPLE.com/books/1"), plain("https://example.com/Books/1")], [0, 1]),
    ("all topics, by either name", [pattern("*")], None, [plain("one"), plain(BOOK)], [0, 1]),
    ("matchers of every kind", ["first", pattern("/plain/:id"), pattern("urn\\:isbn\\:*")], None,
     [plain("first"), plain("/plain/1"), plain("urn:isbn:1"), plain("second")], [0, 1, 2]),
    ("several matchers and several topics, received once", [BOOK, BOOKS_PATTERN, "other"], None, [plain(BOOK, "other")], [0]),
    ("private updates, with a cookie", [BOOK], [BOOKS_PATTERN], [PRIVATE, PUBLIC], [0, 1]),
    ("private updates, with a cookie for others", ["*"], [pattern("https://example.com/users/:id")], [PRIVATE, PUBLIC], [1]),
]

# Of a hub of either.
BOTH = [
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
    ("private updates, with a cookie for all", [BOOK], ["*"], [PRIVATE, PUBLIC], [0, 1]),
    ("a private update whose alternate topic is granted", ["*"], ["granted"],
     [[("topic", BOOK), ("topic", "granted"), ("data", "x"), ("private", "")]], [0]),
]


def expected(fields, made):
    first = dict(reversed(fields))
    data = first.get("data", "").replace("\r\n", "\n").replace("\r", "\n")
    return [made, first.get("type", "message"), data]


class Run:
    """The cases on one page, and those that failed."""

    def __init__(self, page, path):
        self.page, self.path, self.failed, self.count = page, path, 0, 0

    def cases(self, subscriber, publisher, cases):
        """`subscriber` and `publisher` are protocols, which need not be the same."""
        for name, wanted, granted, updates, indices in cases:
            self.page.delete_cookies()
            if granted:
                self.page.set_cookie(subscriber.cookie, subscriber.token(granted))
            parameters = subscriber.parameters(*wanted)
            try:
                result = self.page.run(SCRIPT, HUB, publisher.publisher, parameters, updates, bool(granted))
            except RuntimeError as error:
                result = {"received": str(error), "ids": [None] * len(updates)}
            made = [expected(updates[index], result["ids"][index]) for index in indices]
            self.check(f"{subscriber.name}: {name}", result["received"], made)

    def check(self, what, got, wanted):
        self.count += 1
        if got != wanted:
            self.failed += 1
            print(f"{self.path}: {what}: {got}, not {wanted}")

    def refusals(self):
        self.page.delete_cookies()
        script = "return (await fetch(given[0], {method: 'POST', headers: given[1], body: new URLSearchParams({topic: 'a'})})).status"
        self.check("a publication without a token", self.page.run(script, HUB, {}), 401)
        # The type of a token says which of its claims count.
        details = [{"type": DETAIL, "actions": ["publish"], "topics": [{"match": "*"}]}]
        for name, token, status in (("claims of 0.x in a token of 1.0", signed("at+jwt", {"mercure": {"publish": ["*"]}}), 401),
                                    ("claims of 1.0 in a token of 0.x", signed("JWT", {"authorization_details": details}), 403)):
            self.check(name, self.page.run(script, HUB, {"Authorization": "Bearer " + token}), status)
        mixed = "return (await fetch(given[0] + '?topic=a&match=b')).status"
        self.check("parameters of both protocols", self.page.run(mixed, HUB), 400)


def main():
    origin, driver, *issuer = sys.argv[1:]
    legacy, modern = Legacy(), Modern(origin, *(issuer or [None]))
    assert (len(ELEVEN), len(TEN)) == (11, 10)
    failed = 0
    with browser(driver) as page:
        # The page of the hub, its 404, and another answer of its origin: what their policies let a script do is enough.
        for path in ("/", "/nowhere", "/healthz"):
            page.open(origin + path)
            run = Run(page, path)
            run.cases(legacy, legacy, ELEVEN + LEGACY + BOTH)
            run.cases(modern, modern, TEN + MODERN + BOTH)
            # An update reaches the subscribers of both protocols, whoever published it.
            run.cases(legacy, modern, [case for case in BOTH + LEGACY if case[2]])
            run.cases(modern, legacy, [case for case in BOTH + MODERN if case[2]])
            run.refusals()
            failed += run.failed
    if failed:
        sys.exit(f"{failed} cases failed")
    print(f"{run.count} cases of 0.x and 1.0, side by side, on three pages of the hub's own origin")


main()
