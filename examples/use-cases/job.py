"""An asynchronous job: its client gets an answer at once, with where progress will be told, to nobody else.

The first update is published before the answer, and the answer has its id: the client subscribes from there, and misses nothing however
fast the worker is.
"""

import json
import threading
import uuid

from mercure import publish, subscribe, token


def work(topic):
    """The worker, which knows nothing of who listens."""
    for percent in (25, 50, 75):
        publish(topic=topic, data=json.dumps({"percent": percent}), private="on")
    publish(topic=topic, data=json.dumps({"result": "https://example.com/reports/1.pdf"}), type="done", private="on")


def accept():
    """The server: what `POST /reports` answers, with 202."""
    topic = f"https://example.com/jobs/{uuid.uuid4()}"
    queued = publish(topic=topic, data=json.dumps({"percent": 0}), private="on")
    threading.Thread(target=work, args=(topic,)).start()
    return {"topic": topic, "lastEventID": queued, "token": token(subscribe=[topic])}


# The client.
job = accept()
for event in subscribe(job["topic"], job["token"], job["lastEventID"]):
    update = json.loads(event.data)
    if event.event == "done":
        print("done:", update["result"])
        break
    print(update["percent"], "%")
