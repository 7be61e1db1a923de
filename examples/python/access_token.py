"""Makes an access token of Mercure 1.0 that is valid for an hour, and prints it.

In examples/, with HUB, ISSUER and ISSUER_KEY as README.md sets them:

$ python python/access_token.py
"""

import base64
import hashlib
import hmac
import json
import os
import time

TYPE = "https://mercure.rocks/authorization-detail"
now = int(time.time())
claims = {
    "iss": os.environ["ISSUER"],
    # The hub's PUBLIC_URL.
    "aud": os.environ["HUB"],
    "iat": now,
    "exp": now + 3600,
    "authorization_details": [
        {"type": TYPE, "actions": ["publish"], "topics": [{"match": "*"}]},
        {
            "type": TYPE,
            "actions": ["subscribe"],
            "topics": [{"match": "https://example.com/books/:id", "match_type": "urlpattern"}],
        },
    ],
}


def encode(part):
    return base64.urlsafe_b64encode(part).rstrip(b"=")


# Without this `typ`, the hub takes the token for one of Mercure 0.x.
header = {"typ": "at+jwt", "alg": "HS256"}
signed = b".".join(encode(json.dumps(part).encode()) for part in (header, claims))
signature = hmac.digest(os.environ["ISSUER_KEY"].encode(), signed, hashlib.sha256)
print((signed + b"." + encode(signature)).decode())
