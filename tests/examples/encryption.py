#!/usr/bin/env python3
"""Encryption against a hub whose operator wants to read, and against what else can be in the way.

The hub is this program: it has the hub's key, answers publications with texts of its choice, and sends subscribers what it likes. The
application keeps its secret and its headers to itself, its readers show what it has published and nothing else, and both outlive that.
usage: encryption.py, in examples/
"""

import contextlib
import http.server
import json
import os
import queue
import re
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from joserfc import jwe
from joserfc.jwk import KeySet, OctKey

SECRET, HUB_KEY, DEADLINE_S = os.urandom(32).hex(), "the key of the hub, which its operator has", 20
HUB_PATH = "/.well-known/mercure"


class Server(http.server.BaseHTTPRequestHandler):
    """Answers as its server's `respond` says, and keeps what it was sent."""

    protocol_version = "HTTP/1.1"

    def handle_any(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        self.server.sent.append(f"{self.command} {self.path}\n{self.headers}\n{body}")
        self.close_connection = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.server.respond(self, body)

    do_GET = do_POST = do_HEAD = handle_any

    def reply(self, status, body=b"", **fields):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), "Connection": "close", **fields}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(respond):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.respond, server.sent, server.daemon_threads = respond, [], True
    server.origin = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def expect(holds, what):
    if not holds:
        sys.exit(f"encryption: {what}")


def await_until(what, holds):
    until = time.monotonic() + DEADLINE_S
    while not holds():
        expect(time.monotonic() < until, what() if callable(what) else what)
        time.sleep(0.02)


class Program:
    def __init__(self, *command, **variables):
        self.out, self.err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        environment = {**os.environ, "APPLICATION_SECRET": SECRET, "JWT_KEY": HUB_KEY, "TOKEN": "a.b.c", **variables}
        self.process = subprocess.Popen([sys.executable, *command], env=environment, stdout=self.out, stderr=self.err)

    def read(self, file):
        file.seek(0)
        return file.read()

    def shows(self, *lines):
        def text():
            return f"{lines} and nothing else is to come:\n{self.read(self.out)}{self.read(self.err)}"

        await_until(text, lambda: len(self.read(self.out).splitlines()) >= len(lines))
        expect(self.read(self.out).splitlines() == list(lines), text())

    def tells(self, text):
        await_until(lambda: f"{text!r} is not told: {self.read(self.err)}", lambda: text in self.read(self.err))
        expect("Traceback" not in self.read(self.err), self.read(self.err))

    def fails(self, text):
        """Ends by itself, and says so in one line."""
        status, said = self.process.wait(DEADLINE_S), self.read(self.err)
        expect(status and text in said and said.count("\n") == 1, f"{self.process.args}: {status}, {said!r} instead of {text!r}")

    def end(self):
        self.process.kill()
        self.process.wait()


def ask(url, method="GET", body=None):
    request = urllib.request.Request(url, body, {"Authorization": "Bearer " + SECRET}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Application:
    def __init__(self, hub, folder, name):
        self.hub, self.file, self.port = hub, f"{folder}/{name}", free_port()
        self.url = f"http://127.0.0.1:{self.port}/books/1"
        self.program = None

    def start(self):
        self.program = Program("encryption/publisher.py", str(self.port), self.file, HUB=self.hub.origin + HUB_PATH)

        def answers():
            expect(self.program.process.poll() is None, self.program.read(self.program.err))
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                return ask(self.url)[0] == 200

        await_until("the application starts", answers)

    def restart(self):
        self.program.end()
        self.start()

    def put(self, book):
        return ask(self.url, "PUT", json.dumps(book).encode())[0]

    def keys(self):
        return json.loads(ask(self.url + "/keys")[2])


def hostile_answers(folder):
    """Whatever the hub answers to a publication, the headers are the application's own."""
    answers, thief = queue.Queue(), serve(lambda request, _: request.reply(200, b"{}"))

    def respond(request, _):
        status, body, fields = answers.get()
        request.reply(status, body, **fields)

    hub = serve(respond)
    application = Application(hub, folder, "answers.json")
    application.start()
    link = f'x"; key-set="{thief.origin}/keys'
    try:
        for number, (status, body, fields) in enumerate([
            (200, link.encode(), {}), (200, f'x\r\nLink: <{thief.origin}>; rel="mercure"\r\n\r\n'.encode(), {}), (200, b"\xff\0", {}),
            (201, b"", {"Content-Type": "text/plain; charset=none", "Location": thief.origin}), (200, link.encode() * 10000, {}),
            (307, link.encode(), {"Location": thief.origin}), (302, b"", {"Location": thief.origin}), (401, link.encode(), {}),
            (500, b"", {}),
        ]):
            answers.put((status, body, fields))
            expect(application.put({"number": number}) == (204 if status < 300 else 502), f"a publication that was answered {status}")
            for method in ("GET", "HEAD"):
                got, headers, _ = ask(application.url, method)
                one, other = headers.get_all("Link")
                form = rf'<{hub.origin}{HUB_PATH}>; rel="mercure"; key-set="{application.url}/keys"; last-event-id="urn:uuid:[0-9a-f-]{{36}}"'
                expect(got == 200 and re.fullmatch(form, one) and other == f'<{application.url}>; rel="self"', f"{method}: {headers}")
                expect(set(headers) == {"Server", "Date", "Content-Length", "Content-Type", "Link", "ETag", "Cache-Control"}, str(headers))
        reader = Program("encryption/subscriber.py", application.url)
        answers.put((200, b"", {"Content-Type": "text/event-stream"}))
        reader.shows('now: {"number": 4}')
        await_until("the reader subscribes", lambda: any(sent.startswith("GET") for sent in hub.sent))
        reader.end()
    finally:
        application.program.end()
    expect(not thief.sent, f"the hub has sent them to another place: {thief.sent}")
    expect(not any(SECRET in sent for sent in hub.sent), "the hub has the secret")


def hostile_link():
    """A secret goes where the command line says, and nowhere else."""
    thief = serve(lambda request, _: request.reply(200, b'{"keys": []}'))
    port = thief.server_address[1]
    for said in (f"{thief.origin}/keys", f"//127.0.0.1:{port}/keys", f"http://{{given}}@127.0.0.1:{port}/keys", "https://{given}/keys"):
        def respond(request, _, said=said):
            given = request.headers["Host"]
            hub = f'<{thief.origin}>; rel="mercure"; key-set="{said.format(given=given)}"; last-event-id="a"'
            request.reply(200, b"{}", ETag='"1"', Link=hub + f', <http://{given}/>; rel="self"')

        reader = Program("encryption/subscriber.py", serve(respond).origin + "/books/1")
        reader.fails("does not get the secret")
    moved = serve(lambda request, _: request.reply(302, b"", Location=thief.origin))
    Program("encryption/subscriber.py", moved.origin + "/books/1").fails("302")
    Program("encryption/subscriber.py", f"http://127.0.0.1:{free_port()}/books/1").fails("refused")
    expect(not thief.sent, f"they were sent to another place: {thief.sent}")


def hostile_stream(folder):
    """A reader shows each update of the application once, in order, whatever else comes and however often the connection ends."""
    published, streams = [], queue.Queue()

    def respond(request, body):
        if request.command == "POST":
            published.append(urllib.parse.parse_qs(body)["data"][0])
            request.reply(200, b"of the hub's")
        else:
            # Until the next one: the connection then ends.
            status, events = streams.get()
            text = "".join(f"id: {id}\ndata: {data}\n\n" for id, data in events)
            request.reply(status, text.encode(), **{"Content-Type": "text/event-stream"})

    hub = serve(respond)
    application = Application(hub, folder, "stream.json")
    application.start()
    reader = None
    try:
        before = ask(application.url)[1]["ETag"]
        reader = Program("encryption/subscriber.py", application.url)
        reader.shows("now: " + ask(application.url)[2].decode())
        for title in ("one", "two", "three"):
            expect(application.put({"title": title}) == 204, "a publication")
        keys = application.keys()
        key, version = OctKey.import_key(keys["keys"][0]), int(before.strip('"')) + 100

        def encrypted(message, key=key, **header):
            plain = message if isinstance(message, bytes) else json.dumps(message).encode()
            return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM", "kid": key.kid, **header}, plain, key)

        strange = OctKey.generate_key(256, {"kid": key.kid, "alg": "dir", "use": "enc"})
        unknown = OctKey.generate_key(256, {"kid": "unknown", "alg": "dir", "use": "enc"})
        other = encrypted({"topic": "https://example.com/books/2", "version": version, "book": {"title": "another book"}})
        garbage = ["no JWE", "", "é", "a.b.c.d.e", "....", published[0][:-4] + "AAAA", encrypted({}, strange), encrypted({}, unknown),
                   "W10..a.b.c", "eyJhbGciOiJkaXIiLCJlbmMiOlsxXSwia2lkIjpbMV19..AAAA.AAAA.AAAA", encrypted(b"no JSON"), encrypted({}),
                   encrypted([]), "[" * 100_000]
        events = [("g", data) for data in garbage]
        # Out of order, repeated, of another topic.
        streams.put((200, [*events, ("1", published[0]), ("1", published[0]), ("o", other), ("3", published[2]), ("2", published[1])]))
        reader.shows(reader.read(reader.out).rstrip("\n"), 'update: {"title": "one"}', 'update: {"title": "three"}')
        for text in ("does not open", "another topic", "refused: version"):
            reader.tells(text)
        # A restart keeps keys and book; a new key opens as well, for who asks again.
        book, headers = ask(application.url)[2], ask(application.url)[1]
        application.restart()
        expect(application.keys() == keys, "a restart makes other keys")
        again = ask(application.url)
        expect((again[2], again[1]["ETag"], again[1]["Link"]) == (book, headers["ETag"], headers["Link"]), "a restart loses the book")
        expect(stat.S_IMODE(os.stat(application.file).st_mode) == 0o600, "others may read the keys")
        expect(application.put({"title": "four"}) == 204, "a publication after a restart")
        streams.put((503, []))
        streams.put((200, [("4", published[3])]))
        reader.tells("503")
        reader.shows(*reader.read(reader.out).splitlines()[:3], 'update: {"title": "four"}')
        with open(application.file, encoding="utf-8") as file:
            state = json.load(file)
        state["keys"].insert(0, {"kty": "oct", "k": "A" * 43, "kid": "new", "alg": "dir", "use": "enc"})
        application.program.end()
        with open(application.file, "w", encoding="utf-8") as file:
            json.dump(state, file)
        application.start()
        expect(application.put({"title": "five"}) == 204, "a publication with a new key")
        streams.put((200, [("5", published[4]), ("5", published[4])]))
        reader.shows(*reader.read(reader.out).splitlines()[:4], 'update: {"title": "five"}')
        streams.put((401, []))
        expect(reader.process.wait(DEADLINE_S) == 1 and reader.read(reader.err).endswith(": 401\n"), reader.read(reader.err))
        asked = [re.search(r"last-event-id: (.*)", sent, re.I)[1] for sent in hub.sent if sent.startswith("GET")]
        expect(re.fullmatch(r"urn:uuid:\S+|earliest", asked[0]) and asked[1:] == ["2", "2", "4", "5"], f"the reader comes back with {asked}")
        expect("Traceback" not in reader.read(reader.err), reader.read(reader.err))
    finally:
        application.program.end()
        reader and reader.end()
    expect(not any(SECRET in sent for sent in hub.sent), "the hub has the secret")
    elsewhere = Application(hub, folder, "another.json")
    elsewhere.start()
    kids = {key["kid"] for key in elsewhere.keys()["keys"]}
    elsewhere.program.end()
    expect(not kids & {key["kid"] for key in keys["keys"]}, "two applications give their keys the same name")


with tempfile.TemporaryDirectory() as folder:
    hostile_answers(folder)
    hostile_link()
    hostile_stream(folder)
print("encryption: a hostile hub reads nothing, and shows nothing of its own")
