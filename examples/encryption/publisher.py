"""An application whose updates the hub cannot read: they are encrypted (JWE, RFC 7516) with a key that the hub does not have.

In examples/, with HUB and JWT_KEY as README.md sets them (for Mercure 1.0, PARAMETER=match, ISSUER and ISSUER_KEY):

$ export APPLICATION_SECRET="$(openssl rand -hex 32)"
$ python encryption/publisher.py 8001 encryption.json

GET /books/1 tells by its Link header where the hub is and where the key set is (`key-set`); PUT /books/1 publishes its body. All of it is
for those alone who have APPLICATION_SECRET. It is not the hub's key, and no token of the hub's opens anything here: whoever runs the hub
can make each of those. Between machines this needs HTTPS. The book and the keys are kept in the file.
"""

import hmac
import json
import os
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from joserfc import jwe, jwt
from joserfc.jwk import KeySet, OctKey

if len(sys.argv) != 3:
    sys.exit("usage: publisher.py PORT FILE")
HUB = os.environ["HUB"]
IS_MODERN = os.environ.get("PARAMETER", "topic") != "topic"
HUB_KEY = os.environ["ISSUER_KEY" if IS_MODERN else "JWT_KEY"]
SECRET = os.environ["APPLICATION_SECRET"]
if len(SECRET) < 32 or SECRET == HUB_KEY:
    sys.exit("APPLICATION_SECRET: 32 characters or more, and not the hub's key")
ORIGIN, FILE = f"http://127.0.0.1:{sys.argv[1]}", sys.argv[2]
TOPIC = ORIGIN + "/books/1"
publishing = threading.Lock()


def keep(changes):
    """Nobody else may read the file, and a crash leaves the old one or the new one."""
    global state
    state = {**state, **changes}
    new = os.open(FILE + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(new, 0o600)
    with open(new, "w") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(new)
    os.replace(FILE + ".new", FILE)


try:
    with open(FILE) as file:
        state = json.load(file)
except FileNotFoundError:
    state, key = {}, OctKey.generate_key(256, {"kid": str(uuid.uuid4()), "alg": "dir", "use": "enc"})
    # A new key is put in front; the old ones stay as long as the hub has updates that were encrypted with them.
    keep({"keys": [key.as_dict(private=True)], "number": 0, "version": 0, "book": {}, "id": "earliest"})
KEYS = KeySet.import_key_set({"keys": state["keys"]})


def publisher_token():
    """A token of the hub's that allows to publish the book, for a minute."""
    exp, key = int(time.time()) + 60, OctKey.import_key(HUB_KEY)
    if not IS_MODERN:
        return jwt.encode({"alg": "HS256"}, {"mercure": {"publish": [TOPIC]}, "exp": exp}, key)
    detail = {"type": "https://mercure.rocks/authorization-detail", "actions": ["publish"], "topics": [{"match": TOPIC}]}
    claims = {"iss": os.environ["ISSUER"], "aud": HUB, "exp": exp, "authorization_details": [detail]}
    return jwt.encode({"alg": "HS256", "typ": "at+jwt"}, claims, key)


def publish(book):
    """Answers whether the hub has taken it."""
    # The hub can repeat and reorder updates: the number shows it. Taken or not, no other update gets the same one.
    keep({"number": state["number"] + 1})
    key, number = KEYS.keys[0], state["number"]
    plain = json.dumps({"topic": TOPIC, "version": number, "book": book}).encode()
    data = jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM", "kid": key.kid}, plain, key)
    # Private as well: who reads it, and when, is nobody's business either.
    form = {"topic": TOPIC, "data": data, "private": "on", "id": f"urn:uuid:{uuid.uuid4()}"}
    try:
        # The id is not the hub's, and of its answer only the status is read: its text would come into the headers below.
        with httpx.stream("POST", HUB, headers={"Authorization": "Bearer " + publisher_token()}, data=form) as answer:
            if not answer.is_success:
                print(f"{HUB}: {answer.status_code}", file=sys.stderr)
                return False
    except httpx.HTTPError as error:
        print(f"{HUB}: {error}", file=sys.stderr)
        return False
    keep({"book": book, "version": number, "id": form["id"]})
    return True


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, body=b"", *headers):
        self.send_response(status)
        for name, value in (("Content-Length", len(body)), *headers):
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def put(self):
        try:
            book = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)))
        except ValueError:
            return self.answer(400)
        with publishing:
            self.answer(204 if publish(book) else 502)

    def handle_request(self):
        given = (self.headers["Authorization"] or "").encode()
        methods = {"/books/1": "GET, HEAD, PUT", "/books/1/keys": "GET, HEAD"}.get(self.path)
        if not hmac.compare_digest(given, b"Bearer " + SECRET.encode()):
            self.answer(401, b"", ("WWW-Authenticate", "Bearer"))
        elif not methods:
            self.answer(404)
        elif self.command not in methods.split(", "):
            self.answer(405, b"", ("Allow", methods))
        elif self.command == "PUT":
            self.put()
        elif self.path == "/books/1":
            now = state
            hub = f'<{HUB}>; rel="mercure"; key-set="{ORIGIN}/books/1/keys"; last-event-id="{now["id"]}"'
            headers = (("Link", hub), ("Link", f'<{TOPIC}>; rel="self"'), ("ETag", f'"{now["version"]}"'), ("Cache-Control", "no-store"))
            self.answer(200, json.dumps(now["book"]).encode(), ("Content-Type", "application/json"), *headers)
        else:
            keys = json.dumps(KEYS.as_dict(private=True)).encode()
            self.answer(200, keys, ("Content-Type", "application/jwk-set+json"), ("Cache-Control", "no-store"))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
