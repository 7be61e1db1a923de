#!/bin/sh
# Makes an access token of Mercure 1.0 that is valid for an hour, and prints it. In examples/, with HUB, ISSUER and ISSUER_KEY as
# README.md sets them:
# $ shell/access-token.sh
encode() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
now=$(date +%s)
type=https://mercure.rocks/authorization-detail
# Without this `typ`, the hub takes the token for one of Mercure 0.x. `aud` is the hub's PUBLIC_URL.
header=$(printf '{"typ": "at+jwt", "alg": "HS256"}' | encode)
claims=$(encode <<END
{"iss": "$ISSUER", "aud": "$HUB", "iat": $now, "exp": $((now + 3600)), "authorization_details": [
  {"type": "$type", "actions": ["publish"], "topics": [{"match": "*"}]},
  {"type": "$type", "actions": ["subscribe"], "topics": [{"match": "https://example.com/books/:id", "match_type": "urlpattern"}]}]}
END
)
# Other users of the machine can see the key in the command line of openssl while it runs.
signature=$(printf %s "$header.$claims" | openssl dgst -sha256 -hmac "$ISSUER_KEY" -binary | encode)
echo "$header.$claims.$signature"
