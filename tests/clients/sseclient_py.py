"""PyPI's sseclient-py over requests: history, then live, with ids, types and several lines of data.

With PARAMETER=match and its token, as a client of Mercure 1.0.
"""

import os
import threading

import requests
import sseclient

hub, token = os.environ["HUB"], os.environ["TOKEN"]
parameter = os.environ.get("PARAMETER", "topic")
cursor = "Last-Event-ID" if parameter == "topic" else "Mercure-Last-Event-ID"
topic = f"https://example.com/python/{os.getpid()}"
headers = {"Authorization": f"Bearer {token}"}


def publish(**fields):
    answer = requests.post(hub, headers=headers, data={"topic": topic, **fields}, timeout=10)
    answer.raise_for_status()
    return answer.text


first = publish(data="before")
response = requests.get(
    hub,
    params={parameter: topic},
    headers={**headers, "Accept": "text/event-stream", "Last-Event-ID": "earliest"},
    stream=True,
    timeout=10,
)
assert response.status_code == 200, response.status_code
assert response.headers[cursor] == "earliest"
events = (event for event in sseclient.SSEClient(response).events())
event = next(events)
while event.id != first:
    event = next(events)
assert event.data == "before", event.data
threading.Thread(target=publish, kwargs={"data": "a\nb", "type": "kind", "id": f"{topic}#1", "private": "on"}).start()
event = next(events)
assert (event.data, event.event, event.id) == ("a\nb", "kind", f"{topic}#1"), vars(event)
print(f"sseclient-py, {parameter}: passed")
