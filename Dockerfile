# Lazaret in a container: every process of compose.yaml is this image with another command.
# BASE is any Debian 13, so that the image can also be made where no registry is reached.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS run
# openssh-client is what Ansible logs in with. tini hands signals on and reaps what Ansible leaves.
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      ca-certificates openssh-client python3 tini tzdata \
 && rm -rf /var/lib/apt/lists/*

FROM run AS build
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
# For those who have a mirror or a directory of wheels; not in the image that is made.
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
WORKDIR /build
COPY requirements-run.lock ./
RUN python3 -m venv /opt/lazaret \
 && /opt/lazaret/bin/pip install --quiet --no-cache-dir --no-compile --require-hashes -r requirements-run.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/lazaret/bin/pip install --quiet --no-cache-dir --no-deps . \
 && /opt/lazaret/bin/python -m compileall -q /opt/lazaret/lib \
 && /opt/lazaret/bin/pip uninstall --quiet --yes pip

FROM run
RUN groupadd --gid 10001 lazaret \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/lazaret --shell /usr/sbin/nologin --no-log-init lazaret \
 && install -d -o lazaret -g lazaret -m 0700 /var/lib/lazaret
COPY --from=build /opt/lazaret /opt/lazaret
ENV PATH=/opt/lazaret/bin:/usr/local/bin:/usr/bin:/bin \
    LAZARET_DATA_DIR=/var/lib/lazaret \
    LAZARET_BIND=0.0.0.0 \
    PYTHONUNBUFFERED=1
USER lazaret
WORKDIR /var/lib/lazaret
VOLUME /var/lib/lazaret
EXPOSE 8000
# Alive is not ready: a database that restarts is no reason to restart this too.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python3", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:%s/healthz' % (os.environ.get('LAZARET_METRICS_PORT') or os.environ.get('LAZARET_PORT') or '8000'), timeout=4)"]
ENTRYPOINT ["tini", "--", "lazaret"]
CMD ["up"]
