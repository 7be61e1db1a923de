#!/bin/bash
# Subscribes to the topics of its command line, and prints what comes, until an event of type `end` has come.
# HUB=http://localhost:3000/.well-known/mercure TOKEN=… ./subscribe.sh 'https://example.com/books/{id}'
topics=()
for topic in "$@"; do topics+=(--data-urlencode "topic=$topic"); done
last=()
while true; do
    event=""
    while IFS= read -r line; do
        if [ -n "$line" ]; then
            event+="$line"$'\n'
            continue
        fi
        # An empty line ends the event: only now is it whole, and its id seen.
        printf '%s\n' "$event"
        id=$(sed -n 's/^id: //p' <<<"$event")
        [ -z "$id" ] || last=(-H "Last-Event-ID: $id")
        grep -q '^event: end$' <<<"$event" && exit
        event=""
    done < <(curl -sS -N --get "${topics[@]}" -H "Authorization: Bearer $TOKEN" "${last[@]}" "$HUB")
    # The connection has ended: go on where it did.
    sleep 1
done
