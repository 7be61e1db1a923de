"""Reads encrypted updates: hub, topic and key set are found by discovery, from the Link header of the resource.

In examples/, with TOKEN as README.md sets it and the APPLICATION_SECRET of publisher.py:

$ python encryption/subscriber.py http://127.0.0.1:8001/books/1
"""

import os
import sys

import httpx
from httpx_sse import connect_sse
from joserfc import jwe
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import KeySet

# Each for its own: the hub never sees what opens the key set.
for_application = {"Authorization": "Bearer " + os.environ["APPLICATION_SECRET"]}
for_hub = {"Authorization": "Bearer " + os.environ["TOKEN"]}
client = httpx.Client(timeout=60)


def check(answer):
    if answer.status_code != 200:
        sys.exit(f"{answer.url}: {answer.status_code} {answer.read().decode()}")
    return answer


def key_set(url):
    return KeySet.import_key_set(check(client.get(url, headers=for_application)).json())


resource = check(client.get(sys.argv[1], headers=for_application))
# `resource.links`: what the Link headers say, by relation.
hub, topic = resource.links["mercure"], resource.links["self"]["url"]
keys = key_set(hub["key-set"])
# From what the resource had when it was read: nothing is missed between that and the subscription.
headers = {**for_hub, "Last-Event-ID": hub["last-event-id"]}
print("now:", resource.text, flush=True)
try:
    with connect_sse(client, "GET", hub["url"], params={"topic": topic}, headers=headers) as source:
        check(source.response)
        for event in source.iter_sse():
            try:
                update = jwe.decrypt_compact(event.data, keys)
            except InvalidKeyIdError:
                # A key that is newer than the set.
                keys = key_set(hub["key-set"])
                update = jwe.decrypt_compact(event.data, keys)
            print("update:", update.plaintext.decode(), flush=True)
except httpx.TransportError as error:
    sys.exit(f"{hub['url']}: {error}")
# python/subscribe.py tells how to go on from here.
sys.exit("the connection has ended")
