"""Reads encrypted updates: hub, topic and key set are found by discovery, from the Link header of the resource.

TOKEN=… python subscriber.py http://127.0.0.1:8000/books/1
"""

import os
import sys

import httpx
from httpx_sse import connect_sse
from joserfc import jwe
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import KeySet

authorization = {"Authorization": "Bearer " + os.environ["TOKEN"]}
client = httpx.Client(timeout=60)


def key_set(url):
    answer = client.get(url, headers=authorization)
    answer.raise_for_status()
    return KeySet.import_key_set(answer.json())


resource = client.get(sys.argv[1])
# `resource.links`: what the Link headers say, by relation.
hub, topic = resource.links["mercure"], resource.links["self"]["url"]
keys = key_set(hub["key-set"])
# From what the resource had when it was read: nothing is missed between that and the subscription.
headers = {**authorization, "Last-Event-ID": hub["last-event-id"]}
print("now:", resource.text, flush=True)
with connect_sse(client, "GET", hub["url"], params={"topic": topic}, headers=headers) as source:
    source.response.raise_for_status()
    for event in source.iter_sse():
        try:
            update = jwe.decrypt_compact(event.data, keys)
        except InvalidKeyIdError:
            # A key that is newer than the set.
            keys = key_set(hub["key-set"])
            update = jwe.decrypt_compact(event.data, keys)
        print("update:", update.plaintext.decode(), flush=True)
