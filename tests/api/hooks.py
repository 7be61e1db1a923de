"""What schemathesis has to know of the hub that it is run against (PASS, set by tests/api/run).

- granted: the token may do everything, AUTHORIZATION=selectors.
- denied: the token is valid and grants nothing.
- targets: the token may do everything, AUTHORIZATION=targets.
"""

import os
import unicodedata
import urllib.parse

import jsonschema
import requests
import schemathesis
import yaml

PASS = os.environ["PASS"]
LISTS = ("topic", "target")
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/openapi.yaml"), encoding="utf-8") as file:
    COMPONENTS = yaml.safe_load(file)["components"]
PUBLICATION = jsonschema.Draft202012Validator({"$ref": "#/components/schemas/Publication", "components": COMPONENTS})


def on_the_wire(case):
    """The publication as the hub reads it: a form has texts alone, a list is a name that comes several times, and an empty one nothing."""
    data = case.as_transport_kwargs(base_url="http://hub.example").get("data")
    form = requests.Request("POST", "http://hub.example", data=data).prepare().body or ""
    fields = urllib.parse.parse_qs(form if isinstance(form, str) else form.decode(), keep_blank_values=True)
    read = {name: values if name in LISTS or len(values) > 1 else values[0] for name, values in fields.items()}
    if isinstance(read.get("retry"), str) and read["retry"].isascii() and read["retry"].isdigit():
        read["retry"] = int(read["retry"])
    return read


def has_format_character(value):
    """No schema can say which characters have the general category Cf. agreement.py looks at the 400."""
    values = value if isinstance(value, list) else [value]
    return any(unicodedata.category(character) == "Cf" for one in values if isinstance(one, str) for character in one)


def suits_subscription(case):
    """One protocol in a request, and patterns that are valid; no schema can say either. agreement.py looks at the others."""
    query = case.query or {}
    matchers = [query[name] for name in ("match", "match_exact", "match_urlpattern") if name in query]
    if any(map(has_format_character, matchers)) or ("topic" in query) == bool(matchers):
        return False
    patterns = query.get("match_urlpattern", [])
    return isinstance(patterns, list) and all(isinstance(one, str) and one.isascii() and one.isalnum() for one in patterns)


def is_reserved(topic):
    """A topic that resolves to the hub's own URL."""
    return isinstance(topic, str) and topic.strip("".join(map(chr, range(0x21)))).startswith(("?", "#")) or not str(topic).strip()


def suits(case):
    if case.operation.path in ("/.well-known/mercure", "/hub") and case.method.upper() in ("GET", "HEAD"):
        return suits_subscription(case)
    if not isinstance(case.body, dict):
        return True
    topics = case.body.get("topic")
    if isinstance(topics, list) and any(map(is_reserved, topics)) or any(map(has_format_character, case.body.values())):
        return False
    read = on_the_wire(case)
    # schemathesis takes a list of one, and a field that is not sent, for what it was before it was encoded, and then a valid
    # publication for an invalid one.
    if case.meta is not None and case.meta.generation.mode.is_negative and PUBLICATION.is_valid(read):
        return False
    # The document has the publications of both settings of AUTHORIZATION, and a hub has one of them: what belongs to the other one
    # is a 400. agreement.py looks at these.
    return "private" not in read and "data" in read if PASS == "targets" else "target" not in read


@schemathesis.hook
def filter_case(context, case):
    return suits(case)


@schemathesis.hook
def before_add_examples(context, examples):
    examples[:] = filter(suits, examples)


@schemathesis.check
def nothing_is_granted(context, response, case):
    """What needs a token that grants it is refused, whatever else the request says."""
    path, method = case.operation.path, response.request.method
    is_guarded = method != "OPTIONS" and ("/subscriptions" in path or method == "POST")
    if PASS == "denied" and is_guarded:
        assert response.status_code >= 400, f"{method} {path} is answered {response.status_code}"


@schemathesis.check
def what_is_described_is_allowed(context, response, case):
    """The 405 that stands with an operation is for the other methods of its path."""
    method = response.request.method
    assert response.status_code != 405 or method != case.operation.method.upper(), f"{method} {case.operation.path} is answered 405"
