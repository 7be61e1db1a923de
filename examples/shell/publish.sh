#!/bin/sh
# Publishes an update, and prints its id. In examples/, with HUB and TOKEN as README.md sets them:
# $ shell/publish.sh https://example.com/books/1 '{"stock": 3}'
[ $# = 2 ] || { echo 'usage: publish.sh TOPIC DATA' >&2; exit 1; }
curl -sS --fail-with-body -H "Authorization: Bearer $TOKEN" --data-urlencode "topic=$1" --data-urlencode "data=$2" "$HUB" && echo
