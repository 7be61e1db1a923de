"""What the examples in Python share: a token, a publication, a subscription.

They speak Mercure 0.x with JWT_KEY, and with PARAMETER=match 1.0, with ISSUER and ISSUER_KEY.
"""

import os
import sys
import time

import httpx
from httpx_sse import connect_sse
from joserfc import jwt
from joserfc.jwk import OctKey

HUB = os.environ["HUB"]
PARAMETER = os.environ.get("PARAMETER", "topic")
IS_MODERN = PARAMETER != "topic"
KEY = OctKey.import_key(os.environ["ISSUER_KEY" if IS_MODERN else "JWT_KEY"])


def token(**granted):
    """A token for what may be published and received (`publish=topics`, `subscribe=topics`), for an hour. Only servers know the key."""
    exp = int(time.time()) + 3600
    if not IS_MODERN:
        return jwt.encode({"alg": "HS256"}, {"mercure": granted, "exp": exp}, KEY)
    details = [
        {
            "type": "https://mercure.rocks/authorization-detail",
            "actions": [action],
            "topics": [{"match": topic} for topic in topics],
        }
        for action, topics in granted.items()
    ]
    claims = {"iss": os.environ["ISSUER"], "aud": HUB, "exp": exp, "authorization_details": details}
    return jwt.encode({"alg": "HS256", "typ": "at+jwt"}, claims, KEY)


def publish(**fields):
    """Publishes an update, and answers its id."""
    headers = {"Authorization": "Bearer " + token(publish=["*"])}
    try:
        answer = httpx.post(HUB, headers=headers, data=fields)
    except httpx.HTTPError as error:
        fail(f"{HUB}: {error}")
    if answer.is_error:
        fail(f"{answer.status_code}: {answer.text}")
    return answer.text


def fail(why):
    """Ends the program, whichever of its threads has failed."""
    sys.stdout.flush()
    print(why, file=sys.stderr, flush=True)
    os._exit(1)


def subscribe(topic, bearer, last_event_id):
    """The updates after this one, as they come, over as many connections as it takes."""
    # In UTF-8: an id need not be ASCII.
    headers = httpx.Headers({"Authorization": "Bearer " + bearer, "Last-Event-ID": last_event_id}, encoding="utf-8")
    with httpx.Client(timeout=60) as client:
        while True:
            try:
                with connect_sse(client, "GET", HUB, params={PARAMETER: topic}, headers=headers) as source:
                    if source.response.is_client_error:
                        fail(f"{source.response.status_code}: {source.response.read().decode()}")
                    source.response.raise_for_status()
                    for event in source.iter_sse():
                        headers["Last-Event-ID"] = event.id
                        yield event
            except httpx.HTTPError as error:
                print(f"again in a second: {error!r}", file=sys.stderr)
            time.sleep(1)
