"""What the examples in Python share: a token, a publication, a subscription."""

import os
import sys
import time

import httpx
from httpx_sse import connect_sse
from joserfc import jwt
from joserfc.jwk import OctKey

HUB = os.environ["HUB"]
KEY = OctKey.import_key(os.environ["JWT_KEY"])


def token(**mercure):
    """A token for what may be published and received, for an hour. Only servers know the key."""
    return jwt.encode({"alg": "HS256"}, {"mercure": mercure, "exp": int(time.time()) + 3600}, KEY)


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
                with connect_sse(client, "GET", HUB, params={"topic": topic}, headers=headers) as source:
                    if source.response.is_client_error:
                        fail(f"{source.response.status_code}: {source.response.read().decode()}")
                    source.response.raise_for_status()
                    for event in source.iter_sse():
                        headers["Last-Event-ID"] = event.id
                        yield event
            except httpx.HTTPError as error:
                print(f"again in a second: {error!r}", file=sys.stderr)
            time.sleep(1)
