"""Whether docs/openapi.yaml and the hub agree where random requests do not see it.

Goal: every operation of the document answers every status that the document lists for it, and no other one of those that the hub
knows; each answer has the fields, the media type and the body that the document says.

Method: each status of each operation is brought about once, over a socket, by a hub that is started for it. What a request would have to
be to be answered a 500 is not known, so that one alone is taken on trust.
"""

import collections
import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

import jsonschema
import yaml

BINARY = os.path.abspath(sys.argv[1])
HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "../../docs/openapi.yaml"), encoding="utf-8") as file:
    DOCUMENT = yaml.safe_load(file)
METHODS = ("get", "head", "post", "options", "put", "delete", "patch", "trace")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
# Answered before it is known what the request is for.
UNTRIED = {"500"}

failures = []
hubs = contextlib.ExitStack()
Answer = collections.namedtuple("Answer", "status fields body")


def fail(text):
    failures.append(text)
    print(f"FAILED: {text}", file=sys.stderr)


# The document


def resolved(node):
    while "$ref" in node:
        target = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/")]
        node = target
    return node


PATHS = {path: resolved(item) for path, item in DOCUMENT["paths"].items()}


def documented(path):
    return {method.upper(): PATHS[path][method] for method in METHODS if method in PATHS[path]}


def errors(schema, value):
    validator = jsonschema.Draft202012Validator({"allOf": [schema], "components": DOCUMENT["components"]})
    return [error.message for error in validator.iter_errors(value)]


def check_examples(node, where):
    """Examples are of the schema that they stand beside."""
    if isinstance(node, list):
        for index, child in enumerate(node):
            check_examples(child, f"{where}/{index}")
    if not isinstance(node, dict):
        return
    if "schema" in node:
        examples = [resolved(example)["value"] for example in node.get("examples", {}).values()]
        for example in examples + [node[name] for name in ("example",) if name in node]:
            for error in errors(node["schema"], example):
                fail(f"the example at {where}: {error}")
    elif "type" in node and "example" in node:
        for error in errors(node, node["example"]):
            fail(f"the example at {where}: {error}")
    for name, child in node.items():
        check_examples(child, f"{where}/{name}")


def media_type_of(answer, content):
    """The entry of the document for the answer's media type."""
    given = answer.fields.get("content-type", [""])[0].split(";")[0]
    return content.get(given) or content.get("*/*")


def check(path, method, answer, what):
    """The answer is one that the document has for the operation."""
    label = f"{method} {path}, {what}: {answer.status}"
    response = documented(path)[method]["responses"].get(str(answer.status))
    if response is None:
        return fail(f"{label} is not in the document")
    response = resolved(response)
    for name, header in response.get("headers", {}).items():
        header = resolved(header)
        values = answer.fields.get(name.lower(), [])
        if header.get("required") and not values:
            fail(f"{label} lacks {name}")
        for value in values:
            is_number = header["schema"].get("type") == "integer" and value.isdigit()
            for error in errors(header["schema"], int(value) if is_number else value):
                fail(f"{label}, {name}: {error}")
    content = response.get("content")
    if content is None:
        if answer.body or "content-type" in answer.fields:
            fail(f"{label} has a body that is not in the document")
        return None
    media_type = media_type_of(answer, content)
    if media_type is None:
        return fail(f"{label} has an undocumented media type: {answer.fields.get('content-type')}")
    if method == "HEAD" or answer.body is None or "schema" not in media_type:
        return None
    is_json = answer.fields["content-type"][0].endswith("json")
    for error in errors(media_type["schema"], json.loads(answer.body) if is_json else answer.body):
        fail(f"{label}: {error}")
    return None


# The hub


class Hub:
    """A hub in demo mode, unless `settings` says otherwise."""

    def __init__(self, **settings):
        defaults = {"DEMO": "1", "ALLOW_ANONYMOUS": "0", "SUBSCRIPTIONS": "1", "DB_PATH": ":memory:", "LOG_FORMAT": "JSON",
                    "ADDR": "127.0.0.1:0", "DRAIN_TIMEOUT": "0s", "SHARDS": "1"}
        environment = {"PATH": os.environ["PATH"], **defaults, **settings}
        self.log = hubs.enter_context(tempfile.TemporaryFile())
        process = subprocess.Popen([BINARY], env=environment, stderr=self.log)
        hubs.callback(process.wait)
        hubs.callback(process.terminate)
        self.address = self.told("petasos serves")
        if "METRICS_ADDR" in settings:
            self.metrics = self.told("metrics are served")

    def told(self, message):
        """The address in the line with this message, for ten seconds."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            self.log.seek(0)
            text = self.log.read().decode()
            for line in text.splitlines():
                if f'"{message}"' in line:
                    host, port = re.search(r'"address":"([^"]+):(\d+)"', line).groups()
                    return host, int(port)
            time.sleep(0.02)
        sys.exit(f"the hub does not say {message!r}:\n{text}")


def token(*options):
    command = [BINARY, "token", *options]
    return subprocess.run(command, env={"DEMO": "1"}, check=True, capture_output=True, text=True).stdout.strip()


def bearer(text):
    return ("Authorization", f"Bearer {text}")


def exchange(address, method, target, *fields, body="", version="HTTP/1.1", host=True, end="\r\n"):
    """One request on a connection of its own, written as it is given; its answer."""
    lines = [f"{method} {target} {version}"] + ["Host: hub.example"] * host
    lines += [f"{name}: {value}" for name, value in fields]
    if body and not any(name == "Content-Length" for name, _ in fields):
        lines.append(f"Content-Length: {len(body)}")
    request = "".join(f"{line}\r\n" for line in lines) + end + body
    with socket.create_connection(address, timeout=10) as connection:
        # Who is refused before anything was read may find the connection closed.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request.encode())
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        answered = collections.defaultdict(list)
        for name, value in response.getheaders():
            answered[name.lower()].append(value)
        is_stream = answered.get("content-type") == ["text/event-stream"]
        if is_stream and method == "GET" and response.read(2) != b":\n":
            fail(f"the stream of {target} does not begin with a comment")
        return Answer(response.status, dict(answered), None if is_stream else response.read().decode())


def hold(address, request="GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", until=b"ok"):
    """A connection that stays, with what has come so far."""
    connection = hubs.enter_context(socket.create_connection(address, timeout=10))
    connection.sendall(request.encode())
    received = b""
    while until not in received:
        received += connection.recv(4096)
    return connection


def subscribe(address, topic):
    """A stream that stays."""
    hold(address, f"GET /hub?topic={topic} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ALL}\r\n\r\n", b":\n")


ALL, NOTHING = token("--publish", "*", "--subscribe", "*", "--payload", '{"user": "ada"}'), token()
HUBS = ("/.well-known/mercure", "/hub")


def everything():
    """The hubs on which the statuses are brought about, and what a connection that stays has to keep."""
    usual = Hub(METRICS_ADDR="127.0.0.1:0", CORS_ALLOWED_ORIGINS="https://example.com")
    bare = Hub(DEMO="0", JWT_KEY="!ChangeThisMercureHubJWTSecretKey!", SUBSCRIPTIONS="0")
    slow = Hub(HEADER_TIMEOUT="200ms")
    shared, full = Hub(MAX_CONNECTIONS_PER_ADDRESS="1"), Hub(MAX_CONNECTIONS="1")
    hold(shared.address)
    hold(full.address)
    return usual, bare, slow, shared, full


def targets_of(path, subscriber):
    """A request target for the path."""
    variables = {"{topic}": "a%2Fb", "{subscriber}": urllib.parse.quote(subscriber, safe=""), "{path}": "books/1.jsonld"}
    for name, value in variables.items():
        path = path.replace(name, value)
    return path + ("?topic=a" if path in HUBS else "?selector=a&topic=a" if path.endswith("/match") else "")


def common(method, target, hubs_of):
    """What every operation of the hub answers before it is known what it is: status, and how to get it."""
    usual, _, slow, shared, full = (hub.address for hub in hubs_of)
    long = target + ("&" if "?" in target else "?") + "a" * (48 << 10)
    return {
        "400": lambda: exchange(usual, method, target, host=False),
        "408": lambda: exchange(slow, method, target, end=""),
        "414": lambda: exchange(usual, method, long),
        "417": lambda: exchange(usual, method, target, ("Expect", "wonders")),
        "429": lambda: exchange(shared, method, target),
        "431": lambda: exchange(usual, method, target, *[("A", "b")] * 101),
        "501": lambda: exchange(usual, method, target, ("Transfer-Encoding", "gzip, chunked")),
        "503": lambda: exchange(full, method, target),
        "505": lambda: exchange(usual, method, target, version="HTTP/3.0"),
    }


def own(path, method, target, hubs_of):
    """What an operation answers by itself."""
    usual, bare = hubs_of[0].address, hubs_of[1].address
    plain = lambda *fields, **more: lambda: exchange(usual, method, target, *fields, **more)
    if method == "OPTIONS":
        return {"204": plain(("Origin", "https://example.com"))}
    if path in HUBS and method == "POST":
        return {
            "200": plain(bearer(ALL), FORM, body="topic=a"),
            "401": plain(FORM, body="topic=a"),
            "403": plain(bearer(NOTHING), FORM, body="topic=a"),
            "413": plain(bearer(ALL), FORM, ("Content-Length", 2 << 20)),
            "415": plain(bearer(ALL), ("Content-Type", "application/json"), body="{}"),
        }
    if path in HUBS:
        return {"200": plain(bearer(NOTHING), ("Last-Event-ID", "earliest")), "401": plain()}
    if "/subscriptions" in path:
        missing = target.replace("urn%3Auuid%3A", "urn%3Auuid%3A0")
        nowhere = (usual, missing) if missing != target else (bare, target)
        return {
            "200": plain(bearer(ALL)),
            "304": plain(bearer(ALL), ("If-None-Match", "*")),
            "401": plain(),
            "403": plain(bearer(NOTHING)),
            "404": lambda: exchange(nowhere[0], method, nowhere[1], bearer(ALL)),
        }
    if path.startswith("/demo/") or path.endswith("/match"):
        return {"200": plain(), "404": lambda: exchange(bare, method, target)}
    return {"200": plain()}


def aside(method, target, hubs_of):
    """The same for the listener of the metrics."""
    address = hubs_of[0].metrics
    refused = common(method, target, hubs_of[:0] + (collections.namedtuple("At", "address")(address),) * 5)
    return {"200": lambda: exchange(address, method, target)} | {
        status: bring for status, bring in refused.items() if status not in ("408", "429", "503")
    }


def every_status(hubs_of, subscriber):
    for path in PATHS:
        target = targets_of(path, subscriber)
        for method, operation in documented(path).items():
            ways = aside(method, target, hubs_of) if path == "/metrics" else {
                **common(method, target, hubs_of), **own(path, method, target, hubs_of)}
            listed = set(operation["responses"]) - UNTRIED
            if listed != set(ways):
                fail(f"{method} {path}: in the document {sorted(listed - set(ways))}, of the hub {sorted(set(ways) - listed)}")
            for status, bring in ways.items():
                answer = bring()
                if str(answer.status) != status:
                    fail(f"{method} {path} is answered {answer.status} instead of {status}: {answer.body}")
                check(path, method, answer, "brought about")


def every_method(hubs_of, subscriber):
    """A method that the document does not have is a 405 with those that it has; one that nobody knows a 501."""
    for path in PATHS:
        address = hubs_of[0].metrics if path == "/metrics" else hubs_of[0].address
        for method in ("GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"):
            if method in documented(path):
                continue
            answer = exchange(address, method, targets_of(path, subscriber), bearer(ALL))
            allowed = set(answer.fields.get("allow", [""])[0].split(", "))
            if answer.status != 405 or allowed != set(documented(path)):
                fail(f"{method} {path} is answered {answer.status}, Allow: {allowed}")
        for method in ("QUERY", "get"):
            answer = exchange(address, method, targets_of(path, subscriber), bearer(ALL))
            if answer.status != (405 if path == "/metrics" else 501):
                fail(f"{method} {path} is answered {answer.status}")
    for path in ("/nothing", "/hub/", "/%68ub", "/hub/subscriptionsx"):
        if (answer := exchange(hubs_of[0].address, "GET", path)).status != 404:
            fail(f"{path} is answered {answer.status}")


def every_refusal(hubs_of):
    """The other ways to the statuses of the gate: each has to be as the document says for its operation."""
    usual, targets = hubs_of[0].address, Hub(AUTHORIZATION="targets", SUBSCRIPTIONS="0").address
    closed = hubs.enter_context(socket.create_server(("127.0.0.1", 0)))
    keyless = Hub(DEMO="0", JWKS_URL=f"http://127.0.0.1:{closed.getsockname()[1]}/", SUBSCRIPTIONS="1").address
    may, cookie, long = bearer(ALL), ("Cookie", f"mercureAuthorization={ALL}"), "a" * 4097
    selectors = "&".join(["topic=a"] * 1001)
    heavy = "%7B/" + "a," * 2000 + "a%7D"
    requests = [(usual, "POST", status, fields, body, "") for status, fields, body in [
        (400, [may], ""), (400, [may], "topic="), (400, [may], "topic=*"), (400, [may], "topic=a%0A"), (400, [may], "topic=%ff"),
        (400, [may], "topic=%4"), (400, [may], "topic=a&retry=x"), (400, [may], "topic=a&id=%23"), (400, [may], f"topic=a&id={long}"),
        (400, [may], f"topic=a&type={long}"), (400, [may], "topic=a&data=b&data=c"), (400, [may], "topic=a&target=b"),
        (400, [may], "&".join(["topic=a"] * 1001)), (400, [may], "&".join(["a=b"] * 4097)),
        (401, [bearer("no.token.x")], "topic=a"), (401, [("Authorization", "Basic YTpi")], "topic=a"), (401, [may, may], "topic=a"),
        (403, [may], "topic=/hub"), (403, [may], "topic=https://a.example/.well-known/mercure/subscriptions/a"),
        (403, [cookie], "topic=a"), (403, [cookie, ("Origin", "https://b.example")], "topic=a"),
        (403, [bearer(token("--publish", "b"))], "topic=a"),
    ]]
    requests += [
        (targets, "POST", 400, [may], "topic=a&data=b&private=on", ""), (targets, "POST", 400, [may], "topic=a", ""),
        (targets, "POST", 400, [may], "topic=a&data=b&target=", ""),
        (targets, "POST", 403, [bearer(token("--publish", "b"))], "topic=a&data=b&target=c", ""),
        (targets, "POST", 200, [may], "topic=a&data=b&target=c", ""),
        (usual, "POST", 200, [], "topic=a", f"?authorization={ALL}"), (targets, "POST", 401, [], "topic=a&data=b", f"?authorization={ALL}"),
        (keyless, "POST", 503, [may], "topic=a", ""), (keyless, "GET", 503, [may], "", "?topic=a"),
    ] + [(usual, method, status, [may], "", query) for method in ("GET", "HEAD") for status, query in [
        (400, ""), (400, "?topic="), (400, "?topic=%ff"), (400, "?topic=%4"), (400, f"?topic={long}"), (400, f"?{selectors}"),
        (400, f"?topic={heavy}"), (200, "?topic=a&lastEventID=unknown"),
    ]]
    for path in HUBS:
        for address, method, status, fields, body, query in requests:
            fields = [FORM] * (method == "POST") + fields
            answer = exchange(address, method, path + query, *fields, body=body)
            if answer.status != status:
                fail(f"{method} {path}{query[:80]} {body[:80]!r} is answered {answer.status} instead of {status}: {answer.body}")
            check(path, method, answer, f"{query[:80]} {body[:80]!r}")
        for suffix, status, fields in [("?authorization=%4", 400, []), ("/%ff", 404, [may]), ("/a/b/c", 404, [may]), ("/", 404, [may])]:
            answer = exchange(usual, "GET", f"{path}/subscriptions{suffix}", *fields)
            if answer.status != status:
                fail(f"{path}/subscriptions{suffix} is answered {answer.status} instead of {status}")
            check(f"{path}/subscriptions", "GET", answer, suffix)
    many, large = "&".join(["topic=a"] * 101), "&topic=" + "a" * 300
    for path, queries in {
        "/demo/{path}": ["?body=%4", "?jwt=%22", f"?jwt={'a' * 4001}"],
        "/hub/match": ["", "?selector=a", "?topic=a", "?selector=a&selector=b&topic=a", "?selector=&topic=a", "?selector=a&topic=",
                       f"?selector={long}&topic=a", f"?selector=a&topic={long}", f"?selector=a&{many}", f"?selector={heavy}&topic=a",
                       f"?selector=%7B?{','.join('abcdefgh' * 20)}%7D{large * 30}"],
    }.items():
        for query in queries:
            answer = exchange(usual, "GET", path.replace("{path}", "a") + query)
            if answer.status != 400:
                fail(f"{path}{query[:80]} is answered {answer.status} instead of 400")
            check(path, "GET", answer, query[:80])
    answer = exchange(usual, "GET", "/demo/a?body=" + "a" * (16 << 10))
    if answer.status != 414:
        fail(f"/demo/a with a long body is answered {answer.status} instead of 414")
    check("/demo/{path}", "GET", answer, "a long body")
    answer = exchange(keyless, "GET", "/readyz")
    if answer.status != 503:
        fail(f"/readyz without keys is answered {answer.status}")
    check("/readyz", "GET", answer, "without keys")


def a_share():
    """429 of a token that has its subscriptions already."""
    address = Hub(MAX_SUBSCRIPTIONS_PER_TOKEN="1").address
    subscribe(address, "a")
    answer = exchange(address, "GET", "/hub?topic=a", bearer(ALL))
    if answer.status != 429:
        fail(f"the second subscription of a token is answered {answer.status}")
    check("/hub", "GET", answer, "the second subscription of a token")


def main():
    check_examples(DOCUMENT, "#")
    hubs_of = everything()
    usual = hubs_of[0].address
    # A subscription that stays, for the lists.
    subscribe(usual, "a/b")
    listed = json.loads(exchange(usual, "GET", "/hub/subscriptions", bearer(ALL)).body)["subscriptions"]
    if [entry["topic"] for entry in listed] != ["a/b"] or listed[0]["payload"] != {"user": "ada"}:
        sys.exit(f"one subscription is expected: {listed}")
    every_status(hubs_of, listed[0]["subscriber"])
    every_method(hubs_of, listed[0]["subscriber"])
    every_refusal(hubs_of)
    a_share()


with hubs:
    main()
sys.exit(f"{len(failures)} failures" if failures else 0)
