#!/usr/bin/env python3
"""Subscribers without a hub: started before it, and left by it after the stream has ended in good order. They say that they try again, do so,
and go on after the last event, whose id is not ASCII.

usage: absent.py COMMAND…, in examples/
"""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time

DEADLINE_S = 60
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = "café 日本"


def chunk(text):
    return b"%x\r\n%s\r\n" % (len(text.encode()), text.encode())


def answer(port, *events):
    """Listens for one request, answers it with these events, and listens no more. The request, when the client is gone or done."""
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(DEADLINE_S)
        connection, _ = server.accept()
    with connection:
        connection.settimeout(DEADLINE_S)
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65536)
        connection.sendall(HEAD + b"".join(map(chunk, (":\n", *events))) + chunk(""))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    return request.decode()


def examine(command, failures):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        def read(file):
            file.seek(0)
            return file.read()

        def tries_again(since):
            until = time.monotonic() + DEADLINE_S
            while read(err).count("\n") < since + 2:
                if time.monotonic() > until or process.poll() is not None:
                    raise TimeoutError("it does not say that it tries again")
                time.sleep(0.05)

        environment = {**os.environ, "HUB": f"http://127.0.0.1:{port}/.well-known/mercure"}
        process = subprocess.Popen([*shlex.split(command), "topic"], env=environment, stdout=out, stderr=err)
        try:
            tries_again(0)
            answer(port, f"id: {LAST}\ndata: first\n\n")
            tries_again(read(err).count("\n"))
            request = answer(port, "id: 2\nevent: end\ndata: second\n\n")
            status = process.wait(DEADLINE_S)
            if status or [read(out).count(text) for text in ("first", "second")] != [1, 1]:
                failures.append(f"{command}: status {status}, it prints {read(out)}")
            if not re.search(f"^last-event-id: {LAST}\r$", request, re.M | re.I) or "Traceback" in read(err):
                failures.append(f"{command}: it comes back with {json.dumps(request)}, and says {read(err)}")
        except (OSError, subprocess.TimeoutExpired) as error:
            failures.append(f"{command}: {error!r}: {read(err)}")
        finally:
            process.kill()
            process.wait()


failures = []
threads = [threading.Thread(target=examine, args=(command, failures)) for command in sys.argv[1:]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit("\n".join(failures) or 0)
