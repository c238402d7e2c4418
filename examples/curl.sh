#!/usr/bin/env bash
# Asks a question and prints the chunks as they arrive, one a line; after a cut it reconnects for the rest.
# Needs bash 4.4 or later, and curl:
#   examples/curl.sh '{"user_id": "user123", "message": "Hello"}'
# The text alone: … | jq -j --unbuffered '.choices[0].delta.content // empty'
set -euo pipefail
url=${CHAT_URL:-http://localhost:8000}
question=${1:?the body of POST /chat is missing}
key=example-$$-$RANDOM$RANDOM$RANDOM
last_id=

while true; do
  if [ -z "$last_id" ]; then
    # The same key for every attempt: a repeated request does not start a second answer.
    request=(-d "$question" -H "Content-Type: application/json" -H "Idempotency-Key: $key" "$url/chat")
  else
    request=(-H "Last-Event-ID: $last_id" "$url/chat/${last_id%-*}")
  fi
  id='' data=''
  while IFS= read -r line; do
    case $line in
      "id: "*) id=${line#id: } ;;
      "data: "*) data=${line#data: } ;;
      "") # Only now the event is complete. A comment has no data.
        if [[ $id == *-end ]]; then
          [ "$data" = "[DONE]" ] && exit 0
          echo "$data" >&2
          exit 1
        elif [ -n "$data" ]; then
          printf '%s\n' "$data"
          last_id=$id data=''
        fi ;;
    esac
  done < <(curl -sSN --fail --retry 5 "${request[@]}")
  # 22: refused for good; --retry has already repeated temporary refusals.
  wait $! || [ $? -ne 22 ] || exit 1
  sleep 1
done
