"""An application whose updates the hub cannot read: they are encrypted (JWE, RFC 7516) with a key that the hub does not have.

In examples/, with HUB and JWT_KEY as README.md sets them:

$ export APPLICATION_SECRET="$(openssl rand -hex 32)"
$ python encryption/publisher.py 8001

GET /books/1 tells by its Link header where the hub is and where the key set is (`key-set`); PUT /books/1 publishes its body. All of it is
for those alone who have APPLICATION_SECRET. It is not the hub's key, and no token of the hub's opens anything here: whoever runs the hub
can make each of those. Between machines this needs HTTPS.
"""

import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from joserfc import jwe, jwt
from joserfc.jwk import KeySet, OctKey

HUB = os.environ["HUB"]
HUB_KEY = OctKey.import_key(os.environ["JWT_KEY"])
SECRET = os.environ["APPLICATION_SECRET"]
if len(SECRET) < 32 or SECRET == os.environ["JWT_KEY"]:
    sys.exit("APPLICATION_SECRET: 32 characters or more, and not the hub's key")
ORIGIN = f"http://127.0.0.1:{sys.argv[1]}"
TOPIC = ORIGIN + "/books/1"
# A new key is put in front; the old ones stay as long as the hub has updates that were encrypted with them.
KEYS = KeySet([OctKey.generate_key(256, {"kid": "2", "alg": "dir", "use": "enc"})])
state = {"book": b"{}", "id": "earliest"}


def publish(plain):
    """Answers whether the hub has taken it."""
    key = KEYS.keys[0]
    data = jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM", "kid": key.kid}, plain, key)
    token = jwt.encode({"alg": "HS256"}, {"mercure": {"publish": [TOPIC]}, "exp": int(time.time()) + 60}, HUB_KEY)
    # Private as well: who reads it, and when, is nobody's business either.
    form = {"topic": TOPIC, "data": data, "private": "on"}
    try:
        answer = httpx.post(HUB, headers={"Authorization": "Bearer " + token}, data=form)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        print(error, file=sys.stderr)
        return False
    state.update(book=plain, id=answer.text)
    return True


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, body=b"", *headers):
        self.send_response(status)
        for name, value in (("Content-Length", len(body)), *headers):
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

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
            self.answer(204 if publish(self.rfile.read(int(self.headers["Content-Length"] or 0))) else 502)
        elif self.path == "/books/1":
            hub = f'<{HUB}>; rel="mercure"; key-set="{ORIGIN}/books/1/keys"; last-event-id="{state["id"]}"'
            links = (("Link", hub), ("Link", f'<{TOPIC}>; rel="self"'))
            self.answer(200, state["book"], ("Content-Type", "application/json"), ("Cache-Control", "no-store"), *links)
        else:
            keys = json.dumps(KEYS.as_dict(private=True)).encode()
            self.answer(200, keys, ("Content-Type", "application/jwk-set+json"), ("Cache-Control", "no-store"))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
