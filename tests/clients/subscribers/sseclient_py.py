"""PyPI's sseclient-py: a line of JSON for each event, until one of type `end`.

It reads one answer and knows nothing of reconnection: whoever uses it keeps the last event id and asks again.
"""

import json
import os
import sys
import time

import requests
import sseclient

headers = {"Authorization": "Bearer " + os.environ["TOKEN"], "Accept": "text/event-stream"}
query = {os.environ.get("PARAMETER", "topic"): sys.argv[1:]}
pause_s = 1.0
while True:
    try:
        answer = requests.get(os.environ["HUB"], params=query, headers=headers, stream=True, timeout=60)
        answer.raise_for_status()
        for event in sseclient.SSEClient(answer).events():
            if event.id:
                # In UTF-8: as text it would be sent as Latin-1.
                headers["Last-Event-ID"] = event.id.encode()
            if event.retry:
                pause_s = int(event.retry) / 1000
            print(json.dumps({"id": event.id, "type": event.event, "data": event.data}), flush=True)
            if event.event == "end":
                sys.exit()
    except requests.RequestException:
        pass
    time.sleep(pause_s)
