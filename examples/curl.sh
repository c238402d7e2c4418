#!/usr/bin/env bash
# Asks, and prints the chunks as they come, one a line; wherever the connection is cut it comes back for the rest.
# Wants bash 4.4 or later, and curl:
#   examples/curl.sh '{"user_id": "user123", "message": "Hello"}'
# The text alone: … | jq -j --unbuffered '.choices[0].delta.content // empty'
set -euo pipefail
url=${CHAT_URL:-http://localhost:8000}
question=${1:?the body of POST /chat is missing}
key=example-$$-$RANDOM$RANDOM$RANDOM
last_id=

while true; do
  if [ -z "$last_id" ]; then
    # The same key each time: a question that is sent again is not asked again.
    request=(-d "$question" -H "Content-Type: application/json" -H "Idempotency-Key: $key" "$url/chat")
  else
    request=(-H "Last-Event-ID: $last_id" "$url/chat/${last_id%-*}")
  fi
  id='' data=''
  while IFS= read -r line; do
    case $line in
      "id: "*) id=${line#id: } ;;
      "data: "*) data=${line#data: } ;;
      "") # Only now the event is whole. A comment has no data.
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
  # 22: refused, and not for the moment only, as those are what --retry is for.
  wait $! || [ $? -ne 22 ] || exit 1
  sleep 1
done
