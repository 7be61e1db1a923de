#!/usr/bin/env python3
"""Clients of others, each with a hub that is killed: they come back by themselves, and miss and repeat nothing.

usage: killed.py BINARY [--gateway] NAME=COMMAND… [--modern NAME=COMMAND…]

All clients are subscribed at once. The hub is killed with SIGKILL just after it has acknowledged some updates, and started again on the
same port with the same history, where more updates are waiting before anyone is back; twice. With --gateway, what stands in for it
meanwhile answers 503, as a proxy does whose hub is gone. A client prints a line of JSON for each event, or the event as it came.

Those after --modern speak Mercure 1.0, to the same hub at the same time: half of them name topics, the others have URL
Patterns. Publishers of both protocols take turns, and each client has the updates of both.
"""

import http.client
import http.server
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

DEADLINE_S = 60
PATH = "/.well-known/mercure"
TOPIC, RAW = "https://example.com/clients/1", "a raw topic: é, & and +"
# What the clients subscribe to, by the parameter. The last pattern is relative to the hub's URL, as the raw topic is for a pattern.
FORMS = {
    "topic": ["https://example.com/clients/{id}", RAW],
    "match": [TOPIC, RAW],
    "match_urlpattern": ["https://example.com/clients/:id", "/.well-known/a%20raw%20*"],
}
# Where the hub lists the subscriptions to the first of these.
LISTS = {"topic": "", "match": "exact/", "match_urlpattern": "urlpattern/"}


def await_until(what, holds):
    until = time.monotonic() + DEADLINE_S
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError(what)
        time.sleep(0.02)


class Hub:
    def __init__(self, binary, folder, **settings):
        self.binary, self.folder, self.settings, self.process = binary, folder, settings, None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}{PATH}"
        selectors = ["--publish", "*", "--subscribe", "*"]
        matchers = ["--publish-match", "*", "--subscribe-match", RAW]
        for pattern in (FORMS["match_urlpattern"][0], f"{PATH}/subscriptions/:match_type/:match"):
            matchers += ["--subscribe-pattern", pattern]
        self.token, access_token = self.make_token(*selectors), self.make_token(*matchers)
        self.tokens = {"topic": self.token, "match": access_token, "match_urlpattern": access_token}
        self.published = []

    def make_token(self, *options):
        environment = {"DEMO": "1", "ADDR": f"127.0.0.1:{self.port}"}
        return subprocess.check_output([self.binary, "token", *options], env=environment, text=True).strip()

    def start(self):
        settings = {"DEMO": "1", "SUBSCRIPTIONS": "1", "DB_PATH": f"{self.folder}/updates.db", "LOG_LEVEL": "warn",
                    "ADDR": f"127.0.0.1:{self.port}", "ALLOW_ANONYMOUS": "0", **self.settings}
        with open(f"{self.folder}/hub.log", "ab") as log:
            self.process = subprocess.Popen([self.binary], env=settings, stderr=log)
        await_until("the hub starts", self.is_ready)

    def is_ready(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def call(self, url, parameter, data=None):
        request = urllib.request.Request(url, data, {"Authorization": "Bearer " + self.tokens[parameter]})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()

    def publish(self, data, topic=TOPIC, **fields):
        form = urllib.parse.urlencode({"topic": topic, "data": data, **fields})
        made = self.call(self.url, ("topic", "match")[len(self.published) % 2], form.encode())
        lines = data.replace("\r\n", "\n").replace("\r", "\n")
        self.published.append({"id": made, "type": fields.get("type", "message"), "data": lines})

    def await_subscribers(self, clients):
        wanted = {parameter: [client.parameter for client in clients].count(parameter) for parameter in FORMS}

        def are_there():
            found = {}
            for parameter, (selector, _) in FORMS.items():
                path = LISTS[parameter] + urllib.parse.quote(selector, safe="")
                answer = json.loads(self.call(f"{self.url}/subscriptions/{path}", parameter))
                found[parameter] = len(answer["subscriptions"])
            return found == wanted

        await_until(f"{len(clients)} clients are subscribed", are_there)


class Gateway(http.server.BaseHTTPRequestHandler):
    """What answers in place of a hub that is gone."""

    asked = 0

    def do_GET(self):
        Gateway.asked += 1
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def short(event):
    return {**event, "data": event["data"][:60]}


class Client:
    def __init__(self, name, command, hub, parameter):
        self.name = name if parameter == "topic" else f"{name}, {parameter}"
        self.parameter, self.events = parameter, []
        settings = {**os.environ, "HUB": hub.url, "TOKEN": hub.tokens[parameter], "PARAMETER": parameter, "PYTHONUNBUFFERED": "1"}
        command = [*shlex.split(command), *FORMS[parameter]]
        self.errors = open(f"{hub.folder}/{self.name}.err", "w+", encoding="utf-8")
        self.process = subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        encoding="utf-8", start_new_session=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        raw = {}
        for line in self.process.stdout:
            line = line.rstrip("\n")
            if line.startswith("{") and not raw:
                self.events.append(json.loads(line))
            elif line:
                field, _, value = line.partition(": ")
                raw.setdefault(field, []).append(value)
            elif raw:
                event = {"id": raw["id"][0], "type": raw.get("event", ["message"])[0], "data": "\n".join(raw["data"])}
                self.events.append(event)
                raw = {}

    def verdict(self, published):
        try:
            status = self.process.wait(DEADLINE_S)
            self.reader.join(DEADLINE_S)
        except subprocess.TimeoutExpired:
            status = "no end"
        if status == 0 and self.events == published:
            return True
        ids = [event["id"] for event in self.events]
        print(f"{self.name}: status {status}, {len(self.events)} of {len(published)} events")
        print("  missed:", [short(event) for event in published if event["id"] not in ids])
        print("  more than once:", sorted({id for id in ids if ids.count(id) > 1}))
        print("  other than published:", [short(event) for event in self.events if event not in published])
        self.errors.seek(0)
        print("  its errors:", self.errors.read()[-2000:])
        return False

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)


def shapes(hub):
    """Updates of every kind that a publisher can make."""
    hub.publish("plain")
    # The clients come back after this time, those that heed it.
    hub.publish("sooner", retry="300")
    hub.publish("several\nlines\r\nwith every\rending\n\n and a space: colons, too")
    hub.publish('{"of": "a kind"}', type="kind")
    hub.publish("Zażółć gęślą jaźń — 日本語 🦀", topic=RAW)
    hub.publish("secret", private="on")
    hub.publish(": not a comment\ndata: not a field")
    hub.publish("x" * 100_000)
    hub.publish("an id of its own", id="https://example.com/ids/1?a=b&c=d+e#f %2F")


def stand_in(hub, clients):
    """Answers with 503 until each client has asked."""
    Gateway.asked = 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", hub.port), Gateway)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    await_until("the clients ask the gateway", lambda: Gateway.asked >= len(clients))
    server.shutdown()
    server.server_close()


def started(arguments, hub):
    """A client for each argument."""
    split = arguments.index("--modern") if "--modern" in arguments else len(arguments)
    parameters = ["topic"] * split + ["match", "match_urlpattern"] * len(arguments[split:])
    wanted = zip(arguments[:split] + arguments[split + 1:], parameters)
    return [Client(*argument.split("=", 1), hub, parameter) for argument, parameter in wanted]


def main():
    binary, *rest = sys.argv[1:]
    gateway = rest[0] == "--gateway"
    clients = []
    with tempfile.TemporaryDirectory() as folder:
        hub = Hub(binary, folder)
        try:
            hub.start()
            clients = started(rest[gateway:], hub)
            hub.await_subscribers(clients)
            # Who has never had an id can ask for nothing that it missed.
            hub.publish("first")
            await_until("every client has the first update", lambda: all(client.events for client in clients))
            shapes(hub)
            for kill in ("first", "second"):
                for number in range(10):
                    hub.publish(f"{number} before the {kill} kill")
                # The id to come back with: of Latin-1, then of more than that.
                hub.publish("an id that is not ASCII", id={"first": "café", "second": "café 日本"}[kill])
                hub.kill()
                if gateway:
                    stand_in(hub, clients)
                hub.start()
                for number in range(10):
                    hub.publish(f"{number} before anyone is back", private="on")
                hub.await_subscribers(clients)
                hub.publish(f"live after the {kill} kill")
            hub.publish("the end", type="end")
            right = [client.name for client in clients if client.verdict(hub.published)]
        except (TimeoutError, OSError) as error:
            for client in clients:
                print(f"{client.name}: {len(client.events)} of {len(hub.published)} events, status {client.process.poll()}")
                client.errors.seek(0)
                print(client.errors.read()[-1000:])
            with open(f"{folder}/hub.log", encoding="utf-8") as log:
                print(log.read()[-3000:])
            sys.exit(f"{error!r}")
        finally:
            for client in clients:
                client.end()
            if hub.process:
                hub.process.kill()
                hub.process.wait()
        if len(right) < len(clients):
            sys.exit("a hub was killed, and not every client has what was published")
        for name in right:
            print(f"-- {name}: {len(hub.published)} updates and two kills{' behind a gateway' if gateway else ''}")


if __name__ == "__main__":
    main()
