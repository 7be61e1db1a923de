"""Reads encrypted updates: hub, topic and key set are found by discovery, from the Link header of the resource.

In examples/, with TOKEN as README.md sets it and the APPLICATION_SECRET of publisher.py (for Mercure 1.0, PARAMETER=match):

$ python encryption/subscriber.py http://127.0.0.1:8001/books/1
"""

import json
import os
import sys
import time

import httpx
from httpx_sse import connect_sse
from joserfc import jwe
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import KeySet

if len(sys.argv) != 2:
    sys.exit("usage: subscriber.py URL")
PARAMETER = os.environ.get("PARAMETER", "topic")
client = httpx.Client(timeout=httpx.Timeout(10, read=60))
# What names a key that the application does not have.
unknown = set()


def tell(text):
    print(text, file=sys.stderr, flush=True)


def check(answer):
    if answer.is_client_error:
        sys.exit(f"{answer.url}: {answer.status_code}")
    answer.raise_for_status()
    return answer


def get(url):
    """Asks the application. Its secret goes to the origin of the command line alone, whatever a header says, and follows no redirect."""
    given, url = httpx.URL(sys.argv[1]), httpx.URL(sys.argv[1]).join(url)
    if (url.scheme, url.host, url.port) != (given.scheme, given.host, given.port):
        sys.exit(f"{url} is at another origin than {given}: it does not get the secret")
    return check(client.get(url, headers={"Authorization": "Bearer " + os.environ["APPLICATION_SECRET"]}))


def opened(data):
    """Topic, version and book, as the application has encrypted them."""
    global keys
    head = data.partition(".")[0]
    try:
        plain = jwe.decrypt_compact(data, keys, algorithms=["dir", "A256GCM"]).plaintext
    except InvalidKeyIdError:
        # A key that is newer than the set: asked for once, and once a second, since the hub could name any number of them.
        if head in unknown:
            raise
        if len(unknown) == 1000:
            unknown.clear()
        time.sleep(1)
        keys = KeySet.import_key_set(get(hub["key-set"]).json())
        unknown.add(head)
        plain = jwe.decrypt_compact(data, keys, algorithms=["dir", "A256GCM"]).plaintext
    update = json.loads(plain)
    return update["topic"], update["version"], update["book"]


def show(data):
    """Prints an update that is the application's, of this topic, and newer than the last one: the hub can send anything else, too."""
    global version
    try:
        said, number, book = opened(data)
    except httpx.HTTPError:
        raise
    except Exception as error:
        return tell(f"skipped: an update that does not open: {type(error).__name__}")
    if said != topic:
        return tell("refused: an update of another topic")
    if number <= version:
        return tell(f"refused: version {number} after {version}")
    version = number
    print("update:", json.dumps(book), flush=True)


try:
    resource = get(sys.argv[1])
    # `resource.links`: what the Link headers say, by relation.
    hub, topic = resource.links["mercure"], resource.links["self"]["url"]
    keys = KeySet.import_key_set(get(hub["key-set"]).json())
except KeyError as error:
    sys.exit(f"{sys.argv[1]}: no {error} in the Link header")
except httpx.HTTPError as error:
    sys.exit(f"{error.request.url}: {str(error).splitlines()[0]}")
print("now:", resource.text, flush=True)
version = int(resource.headers["ETag"].strip('"'))
# From what the resource had when it was read: nothing is missed between that and the subscription.
headers = httpx.Headers({"Authorization": "Bearer " + os.environ["TOKEN"], "Last-Event-ID": hub["last-event-id"]}, encoding="utf-8")
while True:
    try:
        with connect_sse(client, "GET", hub["url"], params={PARAMETER: topic}, headers=headers) as source:
            check(source.response)
            for event in source.iter_sse():
                show(event.data)
                headers["Last-Event-ID"] = event.id
    except httpx.HTTPError as error:
        tell(f"again in a second: {error!r}")
    time.sleep(1)
