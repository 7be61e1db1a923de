#!/bin/bash
# Subscribes to the topics of its command line, and prints what comes, until an event of type `end` has come. In examples/, with HUB and TOKEN as
# README.md sets them:
# $ shell/subscribe.sh 'https://example.com/books/{id}'
# For Mercure 1.0, PARAMETER is match or match_urlpattern.
topics=()
for topic in "$@"; do topics+=(--data-urlencode "${PARAMETER:-topic}=$topic"); done
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
    done < <(curl -sS -f -N --get "${topics[@]}" -H "Authorization: Bearer $TOKEN" "${last[@]}" -w '%{http_code}' "$HUB")
    # The connection has ended, and the last line, which has no end, is the status. It is told by curl, and stays the same after a 4xx;
    # after anything else go on where it ended.
    [[ $line != 4* ]] || exit 1
    sleep 1
done
