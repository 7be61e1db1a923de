"""Publishes an update, and prints its id.

HUB=http://localhost:3000/.well-known/mercure TOKEN=… python publish.py https://example.com/books/1 '{"stock": 3}'
"""

import os
import sys

import httpx

topic, data = sys.argv[1:]
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
answer = httpx.post(os.environ["HUB"], headers=headers, data={"topic": topic, "data": data})
answer.raise_for_status()
print(answer.text)
