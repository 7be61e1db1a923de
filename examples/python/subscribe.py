"""Subscribes to the topics of its command line, and prints each update, until one of type `end` comes.

In examples/, with HUB and TOKEN as README.md sets them:

$ python python/subscribe.py 'https://example.com/books/{id}'

For Mercure 1.0, PARAMETER is match or match_urlpattern.
"""

import json
import os
import sys
import time

import httpx
from httpx_sse import connect_sse

# In UTF-8: an id need not be ASCII.
headers = httpx.Headers({"Authorization": "Bearer " + os.environ["TOKEN"]}, encoding="utf-8")
# The hub sends a heartbeat every 15 s: silence of a minute is a broken connection.
client = httpx.Client(timeout=httpx.Timeout(10, read=60))
query = {os.environ.get("PARAMETER", "topic"): sys.argv[1:]}
pause_s = 1.0
while True:
    try:
        with connect_sse(client, "GET", os.environ["HUB"], params=query, headers=headers) as source:
            answer = source.response
            if answer.is_client_error:
                sys.exit(f"{answer.status_code}: {answer.read().decode()}")
            answer.raise_for_status()
            for event in source.iter_sse():
                # httpx-sse leaves reconnection to its user: this id is where the next answer goes on.
                headers["Last-Event-ID"] = event.id
                if event.retry is not None:
                    pause_s = event.retry / 1000
                print(json.dumps({"id": event.id, "type": event.event, "data": event.data}), flush=True)
                if event.event == "end":
                    sys.exit()
    except httpx.HTTPError as error:
        print(f"again in {pause_s} s: {error!r}", file=sys.stderr)
    time.sleep(pause_s)
