"""A server that answers what it is told to, for what no hub does, or must not be asked to do."""

import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DEADLINE_S = 20
METADATA = "/.well-known/oauth-protected-resource/.well-known/mercure"
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "authorization, last-event-id, content-type, cache-control",
    "Access-Control-Expose-Headers": "Link, Last-Event-ID, Mercure-Last-Event-ID, WWW-Authenticate",
}


class Asked:
    """A request that came: its path, its query (a list of pairs), its headers, and what is answered to it."""

    def __init__(self, handler):
        url = urllib.parse.urlsplit(handler.path)
        self.handler = handler
        self.method, self.path = handler.command, url.path
        self.query = urllib.parse.parse_qsl(url.query)
        self.headers = handler.headers
        self.at_s = time.monotonic()

    def answer(self, body="", status=200, **headers):
        """Head and body; what `send` writes follows. It ends when the function that answers does."""
        self.handler.send_response(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Type": "text/plain", **CORS, **named}.items():
            self.handler.send_header(name, value)
        self.handler.end_headers()
        self.send(body)

    def stream(self, text=":\n", **headers):
        self.answer(text, Content_Type="text/event-stream", **headers)

    def send(self, text):
        self.handler.wfile.write(text.encode())
        self.handler.wfile.flush()

    def until_left(self):
        """Waits until whoever asked has gone; True when so, False when the deadline has passed."""
        self.handler.connection.settimeout(DEADLINE_S)
        try:
            return self.handler.connection.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False


class Stub:
    """`answers` are functions of an `Asked`, one per path; each runs in a thread of its own. Preflights are answered by itself, and
    so is a request for the metadata of 1.0, unless there is an answer: a hub of an older protocol has none."""

    def __init__(self, answers):
        stub = self
        self.asked = []
        self.came = threading.Condition()

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self):
                asked = Asked(self)
                if self.command == "OPTIONS":
                    return asked.answer(status=204)
                if asked.path == METADATA and METADATA not in answers:
                    return asked.answer("nothing", 404)
                with stub.came:
                    stub.asked.append(asked)
                    stub.came.notify_all()
                length = int(self.headers.get("Content-Length") or 0)
                asked.body = self.rfile.read(length).decode()
                try:
                    answers.get(asked.path, lambda asked: asked.answer("nothing", 404))(asked)
                except ConnectionError:
                    pass

            do_GET = do_POST = do_OPTIONS = handle_one

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def until_asked(self, count, path):
        """The requests for this path, as soon as there are so many."""
        def found():
            return [asked for asked in self.asked if asked.path == path]
        with self.came:
            if not self.came.wait_for(lambda: len(found()) >= count, DEADLINE_S):
                raise AssertionError(f"{path} was asked for {len(found())} times, not {count}")
            return found()
