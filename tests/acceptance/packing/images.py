"""Images in place of those that compose.yaml names and no registry gives here: of Debian's own packages.

They are used as the official ones are: same variables, same paths, same programs.
"""

MAKE_IMAGES = """\
mkdir -p /root/bases/db /root/bases/prometheus
cd /root/bases
cat > db/start <<'EOF'
#!/bin/sh
set -eu
data=/var/lib/postgresql/data
bin=$(echo /usr/lib/postgresql/*/bin)
as_postgres() { setpriv --reuid postgres --regid postgres --init-groups "$@"; }
if [ ! -s $data/PG_VERSION ]; then
  chown postgres $data
  chmod 700 $data
  password=$(mktemp)
  cat "$POSTGRES_PASSWORD_FILE" > $password
  chown postgres $password
  as_postgres $bin/initdb -D $data -U "$POSTGRES_USER" --pwfile=$password --auth-host=scram-sha-256 \\
    --auth-local=trust --encoding=UTF8 --locale=C.UTF-8 >/dev/null
  rm $password
  echo "host all all all scram-sha-256" >> $data/pg_hba.conf
  as_postgres $bin/pg_ctl -D $data -w -o "-c listen_addresses= -k /tmp" start >/dev/null
  createdb -h /tmp -U "$POSTGRES_USER" "$POSTGRES_DB"
  as_postgres $bin/pg_ctl -D $data -w stop >/dev/null
fi
exec setpriv --reuid postgres --regid postgres --init-groups $bin/postgres -D $data -c listen_addresses='*' -k /tmp
EOF
chmod +x db/start
cat > db/Dockerfile <<'EOF'
FROM lab/debian:trixie
RUN apt-get update -qq \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
COPY start /start
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["/start"]
EOF
cat > prometheus/Dockerfile <<'EOF'
FROM lab/debian:trixie
RUN apt-get update -qq \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus >/dev/null \\
 && install -d -o nobody -g nogroup /prometheus
USER nobody
ENTRYPOINT ["/bin/prometheus"]
EOF
docker build -q --network host -t lab/postgres db
docker build -q --network host -t lab/prometheus prometheus
"""

# The builds reach apt's and pip's packages over the host's own network.
OVERRIDE = "services:\n" + "".join(
    f"  {name}: {{ build: {{ network: host }} }}\n" for name in ("api", "worker", "monitor", "bot")
)

ENVIRONMENT = """\
BASE_IMAGE=lab/debian:trixie
DB_IMAGE=lab/postgres
PROMETHEUS_IMAGE=lab/prometheus
COMPOSE_PROFILES=telegram
PUBLISH_ADDRESS=0.0.0.0
PUBLISH_PORT=8080
PROMETHEUS_PORT=9091
TELEGRAM_API_BASE_URL=http://127.0.0.1:9
"""
"""The bot's Telegram is out of reach: it must be healthy nevertheless."""
