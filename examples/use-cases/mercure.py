"""What the examples in Python share: a token, a publication, a subscription."""

import os
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
    answer = httpx.post(HUB, headers=headers, data=fields)
    answer.raise_for_status()
    return answer.text


def subscribe(topic, bearer, last_event_id):
    """The updates after this one, as they come. python/subscribe.py tells how to go on when the connection ends."""
    headers = {"Authorization": "Bearer " + bearer, "Last-Event-ID": last_event_id}
    with httpx.Client(timeout=60) as client:
        with connect_sse(client, "GET", HUB, params={"topic": topic}, headers=headers) as source:
            source.response.raise_for_status()
            yield from source.iter_sse()
