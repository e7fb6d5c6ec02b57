# Prints one JSON line about this machine every $1 seconds, with the costlier part at once and then every $2 seconds.
# POSIX sh with what Debian and Ubuntu have; installs nothing, writes nothing, and ends with the connection: then
# nobody reads what it prints. Its reader is probing/reading.py.
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

ask() { timeout 5 "$@" </dev/null 2>/dev/null; }
first() { { read -r line _ <"$1"; } 2>/dev/null && printf %s "$line"; }
# Lines of words as JSON strings: what could end a string is left out.
names() { awk '{ gsub(/["\\[:cntrl:]]/, "?", $1); printf "%s\"%s\"", sep, $1; sep = "," }'; }

# Each device once, the root first: bind mounts are no disks of their own.
disks() {
  {
    ask df -k --output=source,ipcent,avail,pcent,target /
    ask df -k -l -x tmpfs -x devtmpfs -x overlay -x squashfs -x efivarfs --output=source,ipcent,avail,pcent,target
  } | awk '$3 ~ /^[0-9]+$/ && !seen[$1]++ {
    mount = $5; gsub(/["\\[:cntrl:]]/, "?", mount); sub(/%/, "", $2); sub(/%/, "", $4)
    printf "%s\"%s\":[%d,%d,%d]", sep, mount, $4, $2, $3 / 1024; sep = ","
  }'
}

docker_state() {
  command -v docker >/dev/null || { printf null; return; }
  if list=$(ask docker ps --all --no-trunc --format '{{.Names}} {{.State}} {{.Status}}'); then
    printf '{"running":true,"containers":{'
    printf '%s\n' "$list" | awk 'NF {
      gsub(/["\\[:cntrl:]]/, "?", $1); gsub(/[^a-z]/, "", $2)
      printf "%s\"%s\":\"%s\"", sep, $1, $0 ~ /\(unhealthy\)/ ? "unhealthy" : $2; sep = ","
    }'
    printf '}}'
  else
    printf '{"running":false,"containers":{}}'
  fi
}

firewall() {
  command -v iptables >/dev/null || { printf null; return; }
  if rules=$(ask iptables -w 2 -S INPUT); then
    case $rules in "-P INPUT DROP"*ufw-*) printf true ;; *) printf false ;; esac
  else
    printf null
  fi
}

full() {
  printf ',"full":{"machine":"%s","disks":{%s},"docker":%s,"firewall":%s,"failed":[%s],"reboot":%s,"baseline":"%s"}' \
    "$(first /etc/machine-id)" "$(disks)" "$(docker_state)" "$(firewall)" \
    "$(ask systemctl list-units --state=failed --plain --no-legend --no-pager | names)" \
    "$([ -e /run/reboot-required ] && echo true || echo false)" "$(first /etc/lazaret/baseline)"
}

boot=$(first /proc/sys/kernel/random/boot_id)
next_full=0
while :; do
  read -r up _ </proc/uptime
  read -r load _ </proc/loadavg
  while read -r name value _; do
    case $name in MemTotal:) mem=$value ;; MemAvailable:) avail=$value; break ;; esac
  done </proc/meminfo
  more=
  if [ "${up%.*}" -ge "$next_full" ]; then
    more=$(full)
    next_full=$((${up%.*} + $2))
  fi
  printf '{"boot":"%s","up":%s,"load":%s,"mem":%s,"avail":%s,"now":%s%s}\n' \
    "$boot" "$up" "$load" "$mem" "$avail" "$(date +%s.%N)" "$more" || exit
  sleep "$1"
done
