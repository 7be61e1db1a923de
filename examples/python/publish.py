"""Publishes an update, and prints its id. In examples/, with HUB and TOKEN as README.md sets them:

$ python python/publish.py https://example.com/books/1 '{"stock": 3}'
"""

import os
import sys

import httpx

if len(sys.argv) != 3:
    sys.exit("usage: publish.py TOPIC DATA")
topic, data = sys.argv[1:]
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
try:
    answer = httpx.post(os.environ["HUB"], headers=headers, data={"topic": topic, "data": data})
except httpx.HTTPError as error:
    sys.exit(f"{os.environ['HUB']}: {error}")
if answer.is_error:
    sys.exit(f"{answer.status_code}: {answer.text}")
print(answer.text)
