"""Whether docs/openapi.yaml and the hub agree where random requests do not see it.

Goal: every operation of the document answers every status that the document lists for it, and no other one of those that the hub
knows; each answer has the fields, the media type and the body that the document says.

Method: each status of each operation is brought about once, over a socket, by a hub that is started for it. What a request would have to
be to be answered a 500 is not known, so that one alone is taken on trust. Names and bounds are read from the sources of the hub: each has to
stand in the document where it counts.
"""

import base64
import collections
import contextlib
import hmac
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
DEBUGGER = os.path.join(HERE, "../../docs/debugger.md")
METHODS = ("get", "head", "post", "x-query", "options", "put", "delete", "patch", "trace")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
UNTRIED = {"500"}
# What HTTP itself puts on an answer.
FRAMING = {"content-type", "content-length", "transfer-encoding", "date"}
# A bound of src/limits/, how the document says it, and the operations that have to.
LISTS = ("/hub/subscriptions",)
BOUNDS = [
    ("LISTING_BYTES_MAX", 1 << 20, "longer than {} MiB", LISTS),
    ("LISTINGS_MAX", 1, "{} lists in hand", LISTS),
    ("LISTINGS_HELD_BYTES_MAX", 1 << 20, "{} MiB of lists that its clients have not taken", LISTS),
    ("SUBSCRIPTION_EVENTS_BYTES_MAX", 1 << 20, "more than {} MiB together", ("/hub",)),
    ("SUBSCRIPTIONS_ENDED_BYTES_PER_CLIENT_MAX", 1 << 20, "that wait take {} MiB in a shard", ("/hub",)),
    ("SUBSCRIPTIONS_ENDED_BYTES_MAX", 1 << 20, "of all without one, take {} MiB", ("/hub",)),
    ("MATCH_COST_REQUEST_MAX", 1, "more than {} units", ("/hub/match",)),
    ("DEMO_TARGET_BYTES_MAX", 1, "Path and query have {} bytes at most", ("/hub/match", "/demo/{path}")),
]

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


def source(name):
    with open(os.path.join(HERE, "../../src", name), encoding="utf-8") as file:
        return file.read()


def bounds():
    """The files of src/limits/, one after another."""
    return "".join(source(os.path.join("limits", name)) for name in sorted(os.listdir(os.path.join(HERE, "../../src/limits"))))


def limit(name):
    """A bound, as src/limits/ has it: a number, or one that is shifted."""
    number, shift = re.search(rf"pub const {name}: \w+ = ([\d_]+)(?: << (\d+))?;", bounds()).groups()
    return int(number) << int(shift or 0)


def documented(path):
    """The operations of a path, by their methods. OpenAPI 3.1 has no place for QUERY."""
    return {method.removeprefix("x-").upper(): PATHS[path][method] for method in METHODS if method in PATHS[path]}


def parameters(path, method):
    return [resolved(one) for one in PATHS[path].get("parameters", []) + documented(path)[method].get("parameters", [])]


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
    named = {name.lower() for name in response.get("headers", {})} | FRAMING
    for name, values in answer.fields.items():
        if name not in named:
            fail(f"{label} has {name}: {values}, which is not in the document")
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
        self.process = subprocess.Popen([BINARY], env=environment, stderr=self.log)
        hubs.callback(self.process.wait)
        hubs.callback(self.process.terminate)
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
        if is_stream and method in ("GET", "QUERY") and response.read(2) != b":\n":
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


def subscribe(address, query):
    """A stream that stays."""
    hold(address, f"GET /hub?{query} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ALL}\r\n\r\n", b":\n")


ALL, NOTHING = token("--publish", "*", "--subscribe", "*", "--payload", '{"user": "ada"}'), token()
HUBS = ("/.well-known/mercure", "/hub")
METADATA = "/.well-known/oauth-protected-resource/.well-known/mercure"


def everything():
    """The hubs on which the statuses are brought about, and what a connection that stays has to keep."""
    usual = Hub(METRICS_ADDR="127.0.0.1:0", CORS_ALLOWED_ORIGINS="https://example.com")
    bare = Hub(DEMO="0", JWT_KEY="!ChangeThisMercureHubJWTSecretKey!", SUBSCRIPTIONS="0")
    slow = Hub(HEADER_TIMEOUT="200ms")
    shared, full = Hub(MAX_CONNECTIONS_PER_ADDRESS="1"), Hub(MAX_CONNECTIONS="1")
    hold(shared.address)
    hold(full.address)
    return usual, bare, slow, shared, full


def targets_of(path, method, subscribers):
    """A request target for the operation; `subscribers` are one of `topic` and one of `match`."""
    subscriber = subscribers["/exact/" in path or "/urlpattern/" in path]
    variables = {"{topic}": "a%2Fb", "{match}": "a%2Fb", "{subscriber}": urllib.parse.quote(subscriber, safe=""), "{path}": "books/1.jsonld"}
    for name, value in variables.items():
        path = path.replace(name, value)
    if path in HUBS:
        return path + ("?match=a" if method == "QUERY" else "?topic=a")
    return path + ("?selector=a&topic=a" if path.endswith("/match") else "")


def common(method, target, hubs_of):
    """What every operation of the hub answers before it is known what it is: status, and how to get it."""
    usual, _, slow, shared, full = (hub.address for hub in hubs_of)
    long = target + ("&" if "?" in target else "?") + "a" * (56 << 10)
    return {
        "400": lambda: exchange(usual, method, target, host=False),
        # Of the path, not of the operation, but there is no other place for it (info.description).
        "405": lambda: exchange(usual, "PUT", target),
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
        unacceptable = (usual, method, path + "?match=a", bearer(ALL), ("Accept", "application/json"))
        of_query = {
            "200": plain(bearer(NOTHING), FORM, ("Last-Event-ID", "earliest"), body="match_urlpattern=a"),
            "413": plain(bearer(ALL), FORM, ("Content-Length", 2 << 20)),
            "415": plain(bearer(ALL), ("Content-Type", "application/json"), body="{}"),
        }
        return {
            "200": plain(bearer(NOTHING), ("Last-Event-ID", "earliest")),
            "401": plain(),
            "406": lambda: exchange(*unacceptable),
        } | (of_query if method == "QUERY" else {})
    if path == METADATA:
        return {"200": plain(), "404": lambda: exchange(bare, method, target)}
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


def every_status(hubs_of, subscribers):
    for path in PATHS:
        for method, operation in documented(path).items():
            target = targets_of(path, method, subscribers)
            ways = aside(method, target, hubs_of) if path == "/metrics" else {
                **common(method, target, hubs_of), **own(path, method, target, hubs_of)}
            listed = set(operation["responses"]) - UNTRIED
            if listed != set(ways):
                fail(f"{method} {path}: in the document {sorted(listed - set(ways))}, of the hub {sorted(set(ways) - listed)}")
            for status, bring in ways.items():
                answer = bring()
                if str(answer.status) != status:
                    fail(f"{method} {path} is answered {answer.status} instead of {status}: {(answer.body or '')[:200]}")
                check(path, method, answer, "brought about")


def allowed(path, operation):
    """The value of `Allow` that the document has, with each 405 of the path; the first is that of a hub that speaks 1.0."""
    header = resolved(operation["responses"].get("405", {})).get("headers", {}).get("Allow", {})
    schema = header.get("schema", {})
    names = schema.get("enum", [schema.get("const", "")])[0].split(", ")
    if not header.get("required") or set(names) != set(documented(path)):
        fail(f"{path}: in the document, Allow of a 405 is {header}")
    return names


def every_method(hubs_of, subscribers):
    """A method that the document does not have is a 405 with those that it has; one that nobody knows a 501."""
    for path in PATHS:
        address = hubs_of[0].metrics if path == "/metrics" else hubs_of[0].address
        names = [allowed(path, operation) for operation in documented(path).values()][0]
        for method in ("GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "QUERY"):
            if method in documented(path):
                continue
            answer = exchange(address, method, targets_of(path, method, subscribers), bearer(ALL))
            if answer.status != 405 or answer.fields.get("allow") != [", ".join(names)]:
                fail(f"{method} {path} is answered {answer.status}, Allow: {answer.fields.get('allow')}")
            for operation in documented(path):
                check(path, operation, answer, f"though it was {method}")
        answer = exchange(address, "get", targets_of(path, "get", subscribers), bearer(ALL))
        if answer.status != (405 if path == "/metrics" else 501):
            fail(f"get {path} is answered {answer.status}")
    for path in HUBS:
        answer = exchange(hubs_of[1].address, "QUERY", f"{path}?match=a", bearer(ALL))
        if answer.status != 405 or "QUERY" in answer.fields["allow"][0]:
            fail(f"QUERY {path} without 1.0 is answered {answer}")
        check(path, "QUERY", answer, "without 1.0")
    for path in ("/nothing", "/hub/", "/%68ub", "/hub/subscriptionsx", "/hub/match/", "/healthz/", "/demo"):
        if (answer := exchange(hubs_of[0].address, "GET", path)).status != 404:
            fail(f"{path} is answered {answer.status}")


def every_name():
    """What the hub reads in a query or a form is in the document."""
    written = re.findall(r"pub const PARAM_\w+: [^=]+ = ([^;]+);", source("mercure/names.rs"))
    read = {name for names in written for name in re.findall(r'"([^"]+)"', names)}
    named = set(DOCUMENT["components"]["schemas"]["Publication"]["properties"])
    named |= {one["name"] for path in PATHS for method in documented(path) for one in parameters(path, method) if one["in"] == "query"}
    named |= {scheme["name"] for scheme in DOCUMENT["components"]["securitySchemes"].values() if scheme.get("in") == "query"}
    if read != named:
        fail(f"parameters: in the document alone {sorted(named - read)}, of the hub alone {sorted(read - named)}")
    for name, unit, words, paths in BOUNDS:
        number, rest = divmod(limit(name), unit)
        for path in paths:
            # Texts are broken into lines.
            text = " ".join(PATHS[path]["get"]["description"].split())
            if rest or words.format(f"{number:,}") not in text:
                fail(f"{path}: the document does not say {words.format(f'{number:,}')!r} ({name})")


def what_comes_once():
    """Which fields of a publication may come once only (every_refusal repeats them) is in the document."""
    text = PATHS["/hub"]["post"]["requestBody"]["description"]
    for name, field in DOCUMENT["components"]["schemas"]["Publication"]["properties"].items():
        if field.get("type") != "array" and f"`{name}`" not in text.partition("a second")[2]:
            fail(f"a second {name} is a 400, which is not in the document")


def every_coding(hubs_of, subscribers):
    """Whoever may ask for a coding can read so in the document, and only there it is given."""
    for path in PATHS:
        address = hubs_of[0].metrics if path == "/metrics" else hubs_of[0].address
        for method, operation in documented(path).items():
            is_asked = any(one["name"] == "Accept-Encoding" for one in parameters(path, method))
            is_said = any("Content-Encoding" in resolved(one).get("headers", {}) for one in operation["responses"].values())
            if is_asked != is_said:
                fail(f"{method} {path}: in the document, Accept-Encoding and Content-Encoding go together")
        for coding in ("gzip", "zstd"):
            answer = exchange(address, "HEAD", targets_of(path, "HEAD", subscribers), bearer(ALL), ("Accept-Encoding", coding))
            is_coded = answer.fields.get("content-encoding") == [coding]
            if is_coded != any(one["name"] == "Accept-Encoding" for one in parameters(path, "HEAD")):
                fail(f"HEAD {path} is answered in {answer.fields.get('content-encoding')} when {coding} is accepted")
            check(path, "HEAD", answer, f"when {coding} is accepted")


def every_last_event_id(address):
    """The places of a last event id count in the order of the document; with matchers in that of QUERY."""
    for number in range(5):
        exchange(address, "POST", "/hub", bearer(ALL), FORM, body=f"topic=a&id=place{number}")
    orders = {
        ("GET", "topic"): ["Last-Event-ID", "lastEventID", "Last-Event-ID", "last_event_id", "lastEventId"],
        ("QUERY", "match"): ["Last-Event-ID", "last_event_id", "lastEventID", "Last-Event-ID", "lastEventId"],
    }
    for (described, selects), names in orders.items():
        places = [(one["in"], one["name"]) for one in parameters("/hub", described) if one["name"].lower().replace("_", "-") in (
            "last-event-id", "lasteventid")]
        expected = [("header" if number == 0 else "query", name) for number, name in enumerate(names)]
        if places != expected:
            fail(f"the places of a last event id in the document are {places}")
        answered = "mercure-last-event-id" if selects == "match" else "last-event-id"
        for method in ("GET", "HEAD", "QUERY") if selects == "match" else ("GET", "HEAD"):
            # Those after each place are there as well, and before it; those before it are there, and empty.
            for first in range(5):
                sent = [(*expected[place], "") for place in range(first)]
                sent += [(*expected[place], f"place{place}") for place in reversed(range(first, 5))]
                query = "".join(f"&{name}={value}" for where, name, value in sent if where == "query")
                fields = [(name, value) for where, name, value in sent if where == "header"]
                answer = exchange(address, method, f"/hub?{selects}=a{query}", bearer(ALL), *fields)
                if answer.fields.get(answered) != [f"place{first}"]:
                    fail(f"{method} {selects} {query} {fields} is answered {answer.fields}")
                check("/hub", method, answer, query)


def how_streams_are_framed(address):
    """HTTP/1.1 keeps the connection, and says so; HTTP/1.0 does not."""
    for method in ("GET", "HEAD"):
        for version, said in (("HTTP/1.1", "keep-alive"), ("HTTP/1.0", "close")):
            answer = exchange(address, method, "/hub?topic=a", bearer(ALL), version=version)
            if answer.fields.get("connection") != [said]:
                fail(f"{method} with {version} is answered Connection: {answer.fields.get('connection')}")
            check("/hub", method, answer, version)


def paths_of_subscriptions(address):
    """What names no subscription is a 404; what could name some is a list."""
    for path in HUBS:
        for below, status in {
            "/": 404, "/a/": 404, "/a/b/": 404, "/a/b/c": 404, "//": 404, "/%ff": 404, "/%zz": 404, "/%": 404, "/a%2": 404, "/a/%zz": 404,
            "/a/%": 404, "/a/b%2": 404, "/a/%ff": 404, "/%00": 200, "/a%0A": 200, "/%C2%85": 200, "/*": 200, "/a/%00": 404,
        }.items():
            template = f"{path}/subscriptions" + ("/{topic}" if below.count("/") == 1 else "/{topic}/{subscriber}")
            answer = exchange(address, "GET", f"{path}/subscriptions{below}", bearer(ALL))
            if answer.status != status:
                fail(f"{path}/subscriptions{below} is answered {answer.status} instead of {status}")
            elif status == 200 and json.loads(answer.body)["subscriptions"]:
                fail(f"{path}/subscriptions{below} is answered {answer.body}")
            check(template, "GET", answer, below)


def what_demo_mode_has(address):
    """The playground and the matcher, also of a hub with DEBUG=1 alone."""
    [rest] = [one for one in parameters("/demo/{path}", "GET") if one["name"] == "path"]
    for address in (address, Hub(DEMO="0", DEBUG="1").address):
        answer = exchange(address, "GET", "/demo/")
        if answer.status != 200 or errors(rest["schema"], ""):
            fail(f"/demo/ is answered {answer.status}; in the document, {rest['schema']}")
        check("/demo/{path}", "GET", answer, "an empty rest")
        answer = exchange(address, "GET", "/demo/a?body=b&body=c&jwt=d&jwt=e")
        if answer.body != "b" or not answer.fields["set-cookie"][0].startswith("mercureAuthorization=d;"):
            fail(f"of several body and jwt the first does not count: {answer}")
        for one in parameters("/demo/{path}", "GET"):
            if one["in"] == "query" and "the first counts" not in one["description"]:
                fail(f"of several {one['name']} the first counts, which is not in the document")
        with open(DEBUGGER, encoding="utf-8") as file:
            example = json.loads(re.search(r"```json\n(.*?)```", file.read(), re.DOTALL)[1])
        for shown in (example, DOCUMENT["components"]["responses"]["Match"]["content"]["application/json"]["example"]):
            asked = [("selector", shown["selector"])] + [("topic", one["topic"]) for one in shown["topics"]]
            answer = exchange(address, "GET", f"/hub/match?{urllib.parse.urlencode(asked)}")
            # As texts: the order of the members as well.
            if json.dumps(json.loads(answer.body)) != json.dumps(shown):
                fail(f"the example of the matcher is {shown}, but the hub answers {answer.body}")
            check("/hub/match", "GET", answer, "the example")
        for topic, status in {"*": 400, "": 400, "a%00": 400, "a%0Ab": 400, "%7F": 400, "%C2%85": 400, "**": 200, "%C3%A9": 200,
                              "/.well-known/mercure/subscriptions/a": 200}.items():
            answer = exchange(address, "GET", f"/hub/match?selector=a&topic=b&topic={topic}")
            if answer.status != status:
                fail(f"/hub/match about {topic!r} is answered {answer.status} instead of {status}")
            text = urllib.parse.unquote(topic)
            [topics] = [one for one in parameters("/hub/match", "GET") if one["name"] == "topic"]
            if bool(errors(topics["schema"], [text])) != (status == 400):
                fail(f"/hub/match: in the document, {topic!r} is not a {status}")
            check("/hub/match", "GET", answer, topic)


def lists_are_bounded():
    """503 of a list that is too long, and when clients do not take theirs; 400 of one client's events that would be too long."""
    address, payload = Hub().address, 11_000
    # Each token has a budget of events of its own: a list has what was announced.
    heavy = lambda number: token("--subscribe", "*", "--subscribe", str(number), "--payload", json.dumps("a" * payload))
    selectors = limit("SUBSCRIPTION_EVENTS_BYTES_MAX") // (payload + 500)
    query = lambda count: "&".join(f"topic=a{number}" for number in range(count))
    for method in ("GET", "HEAD"):
        answer = exchange(address, method, f"/hub?{query(selectors + 5)}", bearer(heavy(0)))
        if answer.status != 400:
            fail(f"{method} of a client whose events are too long is answered {answer.status}")
        check("/hub", method, answer, "a client whose events are too long")
    request = lambda number: f"GET /hub?{query(selectors)} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {heavy(number)}\r\n\r\n"
    subscribe_heavily = lambda number: hold(address, request(number), b":\n")
    clients = limit("LISTING_BYTES_MAX") // (selectors * (payload + 300))
    for number in range(clients):
        subscribe_heavily(number)
    until = time.monotonic() + 60
    while json.loads(exchange(address, "GET", "/hub/subscriptions", bearer(ALL)).body)["subscriptions"][clients * selectors - 1:] == []:
        if time.monotonic() > until:
            return fail("the subscriptions of heavy clients are not listed")

    def expect(status, what):
        answer = exchange(address, "GET", "/hub/subscriptions", bearer(ALL))
        if answer.status != status:
            fail(f"a list when {what} is answered {answer.status} instead of {status}")
        check("/hub/subscriptions", "GET", answer, what)

    expect(200, "it just fits")
    asked = f"GET /hub/subscriptions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ALL}\r\n\r\n"
    waiting = [hold(address, asked, b"HTTP/1.1 200") for _ in range(limit("LISTINGS_HELD_BYTES_MAX") // limit("LISTING_BYTES_MAX"))]
    expect(503, "clients have not taken theirs")
    for connection in waiting:
        connection.close()
    subscribe_heavily(clients)
    while exchange(address, "GET", "/hub/subscriptions", bearer(ALL)).status == 200 and time.monotonic() < until:
        pass
    expect(503, "it is too long")


def every_refusal(hubs_of):
    """The other ways to the statuses of the request handler: each has to be as the document says for its operation."""
    usual, targets = hubs_of[0].address, Hub(AUTHORIZATION="targets", SUBSCRIPTIONS="0").address
    old = Hub(PROTOCOL="07").address
    closed = hubs.enter_context(socket.create_server(("127.0.0.1", 0)))
    keyless = Hub(DEMO="0", JWKS_URL=f"http://127.0.0.1:{closed.getsockname()[1]}/", SUBSCRIPTIONS="1").address
    may, cookie, long = bearer(ALL), ("Cookie", f"mercureAuthorization={ALL}"), "a" * 4097
    selectors = "&".join(["topic=a"] * 1001)
    heavy = "%7B/" + "a," * 2000 + "a%7D"
    # A pair of statuses: of the hub that speaks 1.0, and of the one that does not.
    of_publishers = [
        (400, [may], ""), (400, [may], "topic="), (400, [may], "topic=*"), (400, [may], "topic=a%0A"), (400, [may], "topic=%ff"),
        (400, [may], "topic=%4"), (400, [may], "topic=a&retry=x"), (400, [may], "topic=a&id=%23"), ((413, 400), [may], f"topic=a&id={long}"),
        ((413, 400), [may], f"topic=a&type={long}"), ((400, 200), [may], "topic=a&type=mercure"),
        ((400, 200), [may], "topic=%E2%80%8B"), (400, [may], "topic=a&target=b"), (400, [may], "topic=a&private[]=1"),
        *((400, [may], f"topic=a&{name}=1&{name}=1") for name in ("data", "id", "type", "retry", "private")),
        ((413, 400), [may], "&".join(["topic=a"] * 1001)), ((413, 400), [may], "&".join(["a=b"] * 4097)),
        (401, [bearer("no.token.x")], "topic=a"), (401, [("Authorization", "Basic YTpi")], "topic=a"), ((400, 401), [may, may], "topic=a"),
        (200, [may], "topic=/hub"), ((400, 403), [may], "topic=/.well-known/mercure/../a"), ((400, 403), [may], "topic=https://a.example/.well-known/mercure/subscriptions/a"),
        (403, [cookie], "topic=a"), (403, [cookie, ("Origin", "https://b.example")], "topic=a"),
        (403, [bearer(token("--publish", "b"))], "topic=a"),
    ]
    requests = [
        (address, "POST", status if isinstance(status, int) else status[which], fields, body, "")
        for which, address in enumerate((usual, old)) for status, fields, body in of_publishers
    ]
    requests += [
        (targets, "POST", 400, [may], "topic=a&data=b&private=on", ""), (targets, "POST", 400, [may], "topic=a", ""),
        (targets, "POST", 400, [may], "topic=a&data=b&target=", ""),
        (targets, "POST", 400, [may], "topic=a&data=b&target%5B%5D=b", ""),
        (targets, "POST", 403, [bearer(token("--publish", "b"))], "topic=a&data=b&target=c", ""),
        (targets, "POST", 200, [may], "topic=a&data=b&target=c", ""),
        (usual, "POST", 200, [], "topic=a", f"?authorization={ALL}"), (targets, "POST", 401, [], "topic=a&data=b", f"?authorization={ALL}"),
        (keyless, "POST", 503, [may], "topic=a", ""), (keyless, "GET", 503, [may], "", "?topic=a"),
    ] + [(usual, method, status, [may], "", query) for method in ("GET", "HEAD") for status, query in [
        (400, ""), (400, "?topic="), (400, "?topic=%ff"), (400, "?topic=%4"), (400, f"?topic={long}"), (400, f"?{selectors}"),
        (400, f"?topic={heavy}"), (200, "?topic=a&lastEventID=unknown"), (400, "?match="), (400, "?match=a%0A"), (400, "?match=%E2%80%8B"),
        (400, f"?match={long}"), (400, "?topic=a&match=a"), (400, "?Match=a"), (400, "?match_regexp=a"), (400, "?match_urlpattern=("),
        (200, "?match=a&match_exact=a&match_urlpattern=/:a&last_event_id=unknown"), (200, "?match=*&last_event_id="),
    ]] + [(old, method, status, [may], "", query) for method in ("GET", "HEAD") for status, query in [
        (400, "?match=a"), (400, "?topic=a&match=a"), (200, "?topic=a&Match=a"),
    ]] + [(usual, "QUERY", status, [may, *fields], body, query) for status, fields, body, query in [
        (200, [], "", "?match=a"), (200, [FORM], "match=b", "?match=a"), (400, [], "match=b", ""), (400, [FORM], "", ""),
        (400, [FORM], "topic=a", ""), (400, [FORM], "match=a", "?topic=a"), (400, [FORM], "match=%ff", ""),
        (400, [("Content-Type", "x")], "match=a", ""), (400, [may, FORM], "match=a", ""),
    ]]
    for path in HUBS:
        for address, method, status, fields, body, query in requests:
            fields = [FORM] * (method == "POST") + fields
            answer = exchange(address, method, path + query, *fields, body=body)
            if answer.status != status:
                fail(f"{method} {path}{query[:80]} {body[:80]!r} is answered {answer.status} instead of {status}: {answer.body}")
            check(path, method, answer, f"{query[:80]} {body[:80]!r}")
        answer = exchange(usual, "GET", f"{path}/subscriptions?authorization=%4")
        if answer.status != 400:
            fail(f"{path}/subscriptions with a query that is no form is answered {answer.status} instead of 400")
        check(f"{path}/subscriptions", "GET", answer, "a query that is no form")
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
    subscribe(address, "topic=a")
    answer = exchange(address, "GET", "/hub?topic=a", bearer(ALL))
    if answer.status != 429:
        fail(f"the second subscription of a token is answered {answer.status}")
    check("/hub", "GET", answer, "the second subscription of a token")
    answer = exchange(address, "HEAD", "/hub?topic=a", bearer(ALL))
    if answer.status != 200:
        fail(f"the head of the second subscription of a token is answered {answer.status}")
    check("/hub", "HEAD", answer, "the second subscription of a token")


def what_ends_a_connection(hubs_of):
    """`close` where the document says so, and nowhere else; transfer codings."""
    usual = hubs_of[0]
    for path, address in (("/healthz", usual.address), ("/hub", usual.address), ("/metrics", usual.metrics)):
        for fields, version, status in [
            ([], "HTTP/1.1", 200), ([("Connection", "close")], "HTTP/1.1", 200), ([], "HTTP/1.0", 200),
            ([("Transfer-Encoding", "gzip, chunked")], "HTTP/1.1", 501), ([("Transfer-Encoding", "gzip")], "HTTP/1.1", 400),
            ([("Transfer-Encoding", "identity")], "HTTP/1.1", 400), ([("Transfer-Encoding", "chunked, gzip")], "HTTP/1.1", 400),
        ]:
            answer = exchange(address, "HEAD", path + "?topic=a", bearer(ALL), *fields, version=version)
            stays = path == "/healthz" and status == 200 and version == "HTTP/1.1" and not fields
            if answer.status != status or status != 200 and answer.fields.get("connection") != ["close"]:
                fail(f"{path} with {fields} is answered {answer}")
            if path == "/healthz" and stays == ("connection" in answer.fields):
                fail(f"{path} with {version} {fields} is answered {answer.fields}")
            check(path, "HEAD", answer, f"{version} {fields}")


def a_stop(subscribers):
    """A hub that stops: 503, with the exceptions of the document."""
    hub = Hub(DRAIN_TIMEOUT="60s", METRICS_ADDR="127.0.0.1:0")
    # They are ended over this minute, one after the other: as long as there is one, the hub is still there.
    streams = [hold(hub.address, f"GET /hub?topic=a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ALL}\r\n\r\n", b":\n") for _ in range(20)]
    hub.process.terminate()
    until = time.monotonic() + 10

    def readiness():
        # Who is connected in this very moment, and has not asked yet, may find the connection closed.
        with contextlib.suppress(http.client.BadStatusLine, ConnectionError):
            return exchange(hub.address, "GET", "/readyz").status

    while readiness() != 503:
        if time.monotonic() > until:
            return fail("a hub that is told to stop is ready")
        time.sleep(0.02)
    for path in PATHS:
        for method in documented(path):
            address, target = hub.metrics if path == "/metrics" else hub.address, targets_of(path, method, subscribers)
            if path in HUBS and method in ("GET", "QUERY"):
                try:
                    fail(f"a hub that stops answers {method} {path} with {exchange(address, method, target, bearer(ALL))}")
                except (http.client.BadStatusLine, ConnectionError):
                    continue
            answer = exchange(address, method, target, bearer(ALL), *[FORM] * (method == "POST"), body="topic=a" * (method == "POST"))
            if answer.status != (204 if method == "OPTIONS" else 200 if path in ("/healthz", "/metrics") else 503):
                fail(f"a hub that stops answers {method} {path} with {answer.status}")
            check(path, method, answer, "a hub that stops")
    for stream in streams:
        stream.close()


def access_token(actions=None, **claims):
    """An access token of the issuer of demo mode, which grants these actions for every topic."""
    encoded = lambda part: base64.urlsafe_b64encode(part).rstrip(b"=")
    detail = {"type": "https://mercure.rocks/authorization-detail", "actions": actions, "topics": [{"match": "*"}]}
    claims = {"exp": int(time.time()) + 600, "authorization_details": [detail] if actions else [], **claims}
    signed = b".".join(encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "at+jwt"}, claims))
    return (signed + b"." + encoded(hmac.digest(b"!ChangeThisMercureHubJWTSecretKey!", signed, "sha256"))).decode()


def access_tokens(address):
    """What a token of 1.0 may do, how it is refused, and the list of all subscriptions in its form."""
    resource = json.loads(exchange(address, "GET", METADATA).body)["resource"]
    token_of = lambda actions=None, **claims: bearer(access_token(actions, **{"iss": resource, "aud": resource, **claims}))
    both = token_of(["publish", "subscribe"])
    for path in HUBS:
        for method, target, token_, status, error in [
            ("POST", path, both, 200, None), ("POST", path, token_of(), 403, "insufficient_scope"),
            ("POST", path, token_of(["publish"], aud="b"), 401, "invalid_token"), ("POST", path, token_of(["publish"], exp=1), 401, "invalid_token"),
            ("POST", path, ("Authorization", "Bearer"), 400, "invalid_request"), ("GET", f"{path}?match=a", token_of(), 200, None),
            ("GET", f"{path}?topic=a", both, 200, None), ("GET", f"{path}?match=a", token_of(iss="b"), 401, "invalid_token"),
            ("GET", f"{path}/subscriptions", both, 200, None), ("GET", f"{path}/subscriptions", token_of(), 403, "insufficient_scope"),
        ]:
            form = ([FORM], "topic=a") if method == "POST" else ([], "")
            answer = exchange(address, method, target, token_, *form[0], body=form[1])
            [challenge] = answer.fields.get("www-authenticate", [None])
            if answer.status != status or bool(error) != bool(challenge) or f'error="{error}"' not in (challenge or 'error="None"'):
                fail(f"{method} {target} with {token_} is answered {answer}")
            check(target.partition("?")[0], method, answer, "with a token of 1.0")
            if target.endswith("/subscriptions") and status == 200:
                entries = json.loads(answer.body)["subscriptions"]
                if sorted(entry["match_type"] for entry in entries) != ["exact", "urlpattern"]:
                    fail(f"{target} with a token of 1.0 is answered {answer.body}")


def main():
    check_examples(DOCUMENT, "#")
    hubs_of = everything()
    usual = hubs_of[0].address
    # A subscription that stays, for the lists.
    subscribe(usual, "topic=a/b")
    subscribe(usual, "match=a/b&match_urlpattern=a/b")
    listed = json.loads(exchange(usual, "GET", "/hub/subscriptions", bearer(ALL)).body)["subscriptions"]
    if [entry["topic"] for entry in listed] != ["a/b"] or listed[0]["payload"] != {"user": "ada"}:
        sys.exit(f"one subscription is expected: {listed}")
    of_matcher = json.loads(exchange(usual, "GET", "/hub/subscriptions/exact/a%2Fb", bearer(ALL)).body)["subscriptions"]
    if [(entry["match_type"], entry["match"]) for entry in of_matcher] != [("exact", "a/b")]:
        sys.exit(f"one subscription of a matcher is expected: {of_matcher}")
    subscribers = listed[0]["subscriber"], of_matcher[0]["subscriber"]
    access_tokens(hubs_of[0].address)
    every_status(hubs_of, subscribers)
    every_method(hubs_of, subscribers)
    every_name()
    what_comes_once()
    every_coding(hubs_of, subscribers)
    every_refusal(hubs_of)
    paths_of_subscriptions(usual)
    what_demo_mode_has(usual)
    how_streams_are_framed(usual)
    every_last_event_id(usual)
    a_share()
    what_ends_a_connection(hubs_of)
    a_stop(subscribers)
    lists_are_bounded()


with hubs:
    main()
sys.exit(f"{len(failures)} failures" if failures else 0)
