#!/usr/bin/env python3
"""A stream through a proxy: each update has to arrive at once, alone, however small it is.

usage: proxied.py HUB TOKEN
"""

import ssl
import sys
import time
import urllib.parse
import urllib.request

UPDATES = 20
LATE_S = 1.0

hub, token = sys.argv[1:]
trusting = ssl._create_unverified_context()


def ask(request):
    return urllib.request.urlopen(request, timeout=10, context=trusting)


stream = ask(hub + "?topic=proxied")
assert stream.readline() == b":\n", "the stream does not begin at once"
late = 0.0
for number in range(UPDATES):
    form = urllib.parse.urlencode({"topic": "proxied", "data": number}).encode()
    began = time.monotonic()
    ask(urllib.request.Request(hub, form, {"Authorization": "Bearer " + token})).read()
    while stream.readline() != f"data: {number}\n".encode():
        pass
    late = max(late, time.monotonic() - began)
    time.sleep(0.01)
if late > LATE_S:
    sys.exit(f"an update took {late:.2f} s through the proxy")
print(f"{UPDATES} updates passed at once; the slowest took {late * 1000:.0f} ms")
