#!/usr/bin/env bash
# Triggers FORCE_REBUILD for one server of a running Lazaret and follows it to its end.
#
#   LAZARET_TOKEN=... ./test_force_rebuild.sh HANDLE [--keep-os]
#
# LAZARET_URL is http://localhost:8000 unless set. Exit code 0: the server is ready again; 1: it is not; 2: wrong use.
# ALL DATA OF THE SERVER IS LOST, unless --keep-os.
set -u
SERVER_HANDLE=${1:-}
LAZARET_URL=${LAZARET_URL:-http://localhost:8000}
PATIENCE_S=${PATIENCE_S:-1800}

usage() { echo "$1" >&2; echo "usage: LAZARET_TOKEN=... $0 HANDLE [--keep-os]" >&2; exit 2; }
[ -n "$SERVER_HANDLE" ] || usage "Which server?"
[[ "$SERVER_HANDLE" =~ ^[A-Za-z0-9._-]+$ ]] || usage "$SERVER_HANDLE is not a handle."
[ -n "${LAZARET_TOKEN:-}" ] || usage "Set LAZARET_TOKEN; make one with: lazaret token create NAME --role operator"
case ${2:-} in
  "") body='{"status": "force_rebuild", "reason": "test_force_rebuild.sh"}' ;;
  --keep-os) body='{"status": "force_rebuild", "reinstall": false, "reason": "test_force_rebuild.sh"}' ;;
  *) usage "$2 is not known." ;;
esac

# The token goes through standard input, so that the process list does not show it.
call() {
  curl -sS --max-time 30 -H 'Content-Type: application/json' --config - "$@" <<<"header = \"Authorization: Bearer $LAZARET_TOKEN\""
}
field() { python3 -c 'import json,sys; value = json.load(sys.stdin)
for name in sys.argv[1].split("."): value = value[int(name)] if isinstance(value, list) else value.get(name)
print("" if value is None else value)' "$1" 2>/dev/null; }

echo "Triggering FORCE_REBUILD for $SERVER_HANDLE"
answer=$(call -X PATCH "$LAZARET_URL/api/servers/$SERVER_HANDLE" -d "$body") || { echo "Lazaret does not answer at $LAZARET_URL." >&2; exit 1; }
if [ "$(field handle <<<"$answer")" != "$SERVER_HANDLE" ]; then
  echo "Refused: $(field detail <<<"$answer") $(field hint <<<"$answer")" >&2
  exit 1
fi
operation=$(call "$LAZARET_URL/api/servers/$SERVER_HANDLE/operations?limit=1" | field items.0.id)
[ -n "$operation" ] || { echo "No operation was begun." >&2; exit 1; }
echo "Following operation $operation..."

after=0
deadline=$((SECONDS + PATIENCE_S))
while [ $SECONDS -lt $deadline ]; do
  events=$(call "$LAZARET_URL/api/operations/$operation/events?after=$after")
  python3 -c 'import json,sys
for event in json.load(sys.stdin)["items"]:
    if event["data"].get("state") not in ("started", "running"):
        print(event["at"][11:19], (event["step"] or event["kind"]).ljust(20), event["message"])' <<<"$events" 2>/dev/null
  after=$(python3 -c 'import json,sys; print(max([int(sys.argv[1])] + [event["id"] for event in json.load(sys.stdin)["items"]]))' "$after" <<<"$events" 2>/dev/null || echo "$after")
  state=$(call "$LAZARET_URL/api/operations/$operation" | field status)
  case $state in
    succeeded) break ;;
    failed|cancelled|superseded)
      echo "The operation is $state: $(call "$LAZARET_URL/api/operations/$operation" | field error)" >&2
      exit 1 ;;
  esac
  sleep 1
done
status=$(call "$LAZARET_URL/api/servers/$SERVER_HANDLE" | field status)
echo "$SERVER_HANDLE is $status."
[ "$status" = ready ] || [ "$status" = in_use ]
