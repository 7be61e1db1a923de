"""A resource whose updates the hub cannot read: they are encrypted (JWE, RFC 7516) with a key that the hub does not have.

HUB=http://localhost:3000/.well-known/mercure JWT_KEY=… python publisher.py 8000

GET /books/1 tells by its Link header where the hub is and where the key set is (`key-set`); the key set is given to whoever may read
the topic; PUT /books/1 publishes its body.
"""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from joserfc import jwe, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey

HUB = os.environ["HUB"]
HUB_KEY = OctKey.import_key(os.environ["JWT_KEY"])
ORIGIN = f"http://127.0.0.1:{sys.argv[1]}"
TOPIC = ORIGIN + "/books/1"
# A new key is put in front; the old ones stay as long as the hub has updates that were encrypted with them.
KEYS = KeySet([OctKey.generate_key(256, {"kid": "2", "alg": "dir", "use": "enc"})])
state = {"book": b"{}", "id": "earliest"}


def publish(plain):
    key = KEYS.keys[0]
    data = jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM", "kid": key.kid}, plain, key)
    token = jwt.encode({"alg": "HS256"}, {"mercure": {"publish": [TOPIC]}, "exp": int(time.time()) + 60}, HUB_KEY)
    # Private as well: who reads it, and when, is nobody's business either.
    form = {"topic": TOPIC, "data": data, "private": "on"}
    answer = httpx.post(HUB, headers={"Authorization": "Bearer " + token}, data=form)
    answer.raise_for_status()
    state.update(book=plain, id=answer.text)


def may_read(authorization):
    """Whether this is a token for the hub that grants the topic."""
    try:
        token = jwt.decode((authorization or "").removeprefix("Bearer "), HUB_KEY, algorithms=["HS256"])
        jwt.JWTClaimsRegistry().validate(token.claims)
    except (JoseError, ValueError):
        return False
    return TOPIC in token.claims.get("mercure", {}).get("subscribe", [])


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, body=b"", *headers):
        self.send_response(status)
        for name, value in (("Content-Length", len(body)), *headers):
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/books/1":
            hub = f'<{HUB}>; rel="mercure"; key-set="{ORIGIN}/books/1/keys"; last-event-id="{state["id"]}"'
            links = (("Link", hub), ("Link", f'<{TOPIC}>; rel="self"'))
            self.answer(200, state["book"], ("Content-Type", "application/json"), *links)
        elif self.path == "/books/1/keys":
            if may_read(self.headers["Authorization"]):
                keys = json.dumps(KEYS.as_dict(private=True)).encode()
                self.answer(200, keys, ("Content-Type", "application/jwk-set+json"), ("Cache-Control", "no-store"))
            else:
                self.answer(401)
        else:
            self.answer(404)

    def do_PUT(self):
        publish(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(204)


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
