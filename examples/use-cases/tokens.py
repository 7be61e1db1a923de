"""The words of a language model as they are made: an update for each, and one of type `end` with what was used.

A page that is loaded again, or whose connection broke, goes on after the last word that it has.
"""

import json
import sys
import threading
import uuid

from mercure import publish, subscribe, token


def model(prompt):
    """Stands for a model that gives its answer word by word."""
    yield from f"{prompt} A hub sends each word to whoever may read it.".split(" ")


def answer(prompt, topic):
    count = 0
    for count, word in enumerate(model(prompt), 1):
        publish(topic=topic, data=word + " ", type="token", private="on")
    publish(topic=topic, data=json.dumps({"tokens": count}), type="end", private="on")


topic = f"https://example.com/chats/{uuid.uuid4()}"
begin = publish(topic=topic, data="{}", type="begin", private="on")
threading.Thread(target=answer, args=("What does a hub do?", topic)).start()

bearer, last, words = token(subscribe=[topic]), begin, 0
while True:
    for event in subscribe(topic, bearer, last):
        last = event.id
        if event.event == "end":
            print()
            print(json.loads(event.data)["tokens"], "tokens")
            sys.exit()
        print(event.data, end="", flush=True)
        words += 1
        if words == 4:
            # The reader's connection breaks; it goes on with the fifth.
            break
