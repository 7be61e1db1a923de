"""What schemathesis has to know of the hub that it is run against (PASS, set by tests/api/run).

- granted: the token may do everything, AUTHORIZATION=selectors.
- denied: the token is valid and grants nothing.
- targets: the token may do everything, AUTHORIZATION=targets.
"""

import os

import schemathesis

PASS = os.environ["PASS"]


def suits(case):
    body = case.body
    if not isinstance(body, dict):
        return True
    # On the wire one value is a list of one.
    if any(name in body and not isinstance(body[name], list) for name in ("topic", "target")):
        return False
    # The document has the publications of both settings of AUTHORIZATION, and a hub has one of them: what belongs to the other one
    # is a 400. agreement.py looks at these.
    if PASS == "targets":
        return "private" not in body and "data" in body
    return "target" not in body


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
