"""Debian packages for the hosts: a caching nginx on the bridge, in front of the mirrors that this machine itself uses.

Owns that process and its configuration. The mirrors are read from apt's configuration at its start; none is known here.
"""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lazaret.kernel.errors import Misconfigured, Unavailable
from lazaret.lab.commands import run
from lazaret.lab.processes import ProcessIdentity, end, identify, is_alive
from lazaret.lab.store import write_private

PORT = 3142
_APT = Path("/etc/apt")
_WAIT_S = 30.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Where this machine gets Debian from; addresses without a slash at the end."""

    archive: str
    security: str | None
    """None where the machine has no such source; the hosts then have none either."""


@dataclass(frozen=True, slots=True)
class AptSource:
    """One address of apt's configuration with what is fetched from it."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


def parse_deb822(text: str) -> list[AptSource]:
    """The `deb` stanzas of a `.sources` file that are not disabled."""
    found = []
    for stanza in re.split(r"\n[ \t]*\n", re.sub(r"(?m)^#.*\n?", "", text)):
        fields = {
            name.lower(): value.split()
            for name, value in re.findall(r"(?m)^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t]+.*)*)", stanza)
        }
        if "deb" in fields.get("types", ()) and fields.get("enabled", ["yes"])[:1] != ["no"]:
            suites, components = tuple(fields.get("suites", ())), tuple(fields.get("components", ()))
            found += [AptSource(uri.rstrip("/"), suites, components) for uri in fields.get("uris", ())]
    return found


def parse_one_line(text: str) -> list[AptSource]:
    """The `deb` lines of a `.list` file."""
    found = []
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[[^]]*]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line.strip())
        if match:
            uri, suite, components = match.groups()
            found.append(AptSource(uri.rstrip("/"), (suite,), tuple(components.split())))
    return found


def choose_mirrors(sources: Iterable[AptSource]) -> Mirrors | None:
    """Debian's own archive among all sources, told by its path and component; None when there is none."""
    archive = security = None
    for source in sources:
        if "main" not in source.components or urlsplit(source.uri).scheme not in ("http", "https"):
            continue
        is_security = all(re.search(r"[-/]security$|/updates$", suite) for suite in source.suites)
        last = source.uri.rpartition("/")[2]
        if last == "debian-security" or (is_security and last.startswith("debian")):
            security = security or source.uri
        elif last == "debian":
            archive = archive or source.uri
    return Mirrors(archive, security) if archive else None


def machine_mirrors(apt: Path = _APT) -> Mirrors | None:
    """What this machine's apt is told to use; None when that is not Debian."""
    sources: list[AptSource] = []
    for path in sorted(apt.glob("sources.list.d/*.sources")):
        sources += parse_deb822(path.read_text(encoding="utf-8"))
    for path in [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))]:
        if path.exists():
            sources += parse_one_line(path.read_text(encoding="utf-8"))
    return choose_mirrors(_resolve_mirror_file(source) for source in sources)


def _resolve_mirror_file(source: AptSource) -> AptSource:
    """Cloud images name a file with a list of mirrors instead of one."""
    file = re.match(r"mirror\+file:(?://)?(/.*)", source.uri)
    if not file or not Path(file[1]).exists():
        return source
    listed = [line.split()[0] for line in Path(file[1]).read_text(encoding="utf-8").splitlines() if line.strip()]
    return AptSource(listed[0].rstrip("/"), source.suites, source.components) if listed else source


def guest_sources(cache_url: str, suite: str, mirrors: Mirrors) -> str:
    """`debian.sources` of a host that gets its packages from the cache at `cache_url`."""
    signed = "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    archive = f"Types: deb\nURIs: {cache_url}/debian\nSuites: {suite} {suite}-updates\nComponents: main\n{signed}"
    security = f"\nTypes: deb\nURIs: {cache_url}/debian-security\nSuites: {suite}-security\nComponents: main\n{signed}"
    return archive + (security if mirrors.security else "")


def nginx_configuration(*, address: str, mirrors: Mirrors, packages: Path, run_directory: Path) -> str:
    """The whole of `nginx.conf`.

    All labs of the machine share the directory `packages`, each with a memory zone of its own. nginx replaces a file by
    a rename, so that is safe; a lab just does not notice what another fetches while both run, and fetches it, too.
    """
    sites = _site("/debian/", mirrors.archive)
    if mirrors.security:
        sites += _site("/debian-security/", mirrors.security)
    temporary = "".join(
        f"    {kind}_temp_path {run_directory / 'bodies'};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # root: the cache lies in root's home, and whoever can ask it is root on a host that could leave its walls anyway
    return f"""\
user root;
worker_processes 1;
pid {run_directory}/nginx.pid;
error_log {run_directory}/error.log warn;
events {{ worker_connections 512; }}
http {{
    log_format cache '$remote_addr $status $upstream_cache_status $body_bytes_sent $request_time $request_uri';
    access_log {run_directory}/access.log cache;
{temporary}\
    proxy_cache_path {packages} levels=1:2 keys_zone=packages:16m inactive=365d max_size=20g use_temp_path=off;
    proxy_cache packages;
    proxy_cache_key $request_uri;
    proxy_cache_lock on;
    proxy_cache_lock_timeout 300s;
    proxy_cache_lock_age 300s;
    proxy_cache_revalidate on;
    proxy_cache_use_stale error timeout invalid_header http_500 http_502 http_503 http_504;
    proxy_ignore_headers Cache-Control Expires Set-Cookie Vary X-Accel-Expires;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_ssl_server_name on;
    server {{
        listen {address}:{PORT};
{sites}\
    }}
}}
"""


def _site(prefix: str, mirror: str) -> str:
    """Files that never change their content are kept; indexes are asked for again after a short while."""
    parts = urlsplit(mirror)
    origin = f"rewrite ^{prefix}(.*)$ {parts.path}/$1 break; proxy_pass {parts.scheme}://{parts.netloc};"
    return f"""\
        location ~ ^{prefix}(pool/|.*/by-hash/) {{ {origin} proxy_cache_valid 200 365d; }}
        location {prefix} {{ {origin} proxy_cache_valid 200 30s; }}
"""


class PackageCache:
    """The nginx of one lab. `run_directory` is the lab's; `packages` is shared by all labs of the machine."""

    def __init__(self, *, run_directory: Path, packages: Path) -> None:
        self._run = run_directory
        self._packages = packages
        self._record = run_directory / "process.json"
        self.url = ""
        self.mirrors: Mirrors | None = None

    async def up(self, address: str) -> None:
        """Serve on `address`. Whatever an earlier process of this lab left is replaced. Raises `Misconfigured`."""
        await self.down()
        self.mirrors = machine_mirrors()
        if self.mirrors is None:
            raise Misconfigured("This machine's apt knows no Debian archive.")
        self._packages.mkdir(parents=True, exist_ok=True)
        (self._run / "bodies").mkdir(parents=True, exist_ok=True, mode=0o700)
        (self._run / "nginx.pid").unlink(missing_ok=True)
        configuration = self._run / "nginx.conf"
        configuration.write_text(
            nginx_configuration(
                address=address, mirrors=self.mirrors, packages=self._packages, run_directory=self._run
            ),
            encoding="utf-8",
        )
        await run("nginx", "-p", str(self._run), "-e", str(self._run / "error.log"), "-c", str(configuration))
        write_private(self._record, (await self._started()).model_dump_json())
        self.url = f"http://{address}:{PORT}"

    def guest_sources(self, suite: str) -> str:
        """apt's sources for a host."""
        if self.mirrors is None:
            raise Misconfigured("The package cache is not up.")
        return guest_sources(self.url, suite, self.mirrors)

    async def down(self) -> None:
        """End the nginx that this lab started, also in an earlier process. What was fetched stays. Idempotent."""
        if self._record.exists():
            process = ProcessIdentity.model_validate_json(self._record.read_text(encoding="utf-8"))
            if is_alive(process):
                await asyncio.to_thread(end, process, patience_s=_WAIT_S)
            self._record.unlink()

    async def _started(self) -> ProcessIdentity:
        """nginx answers for its start before its child has written down who it is."""
        pid_file = self._run / "nginx.pid"
        for _ in range(int(_WAIT_S / _POLL_S)):
            text = pid_file.read_text(encoding="utf-8").strip() if pid_file.exists() else ""
            process = identify(int(text)) if text else None
            if process is not None:
                return process
            await asyncio.sleep(_POLL_S)
        raise Unavailable("The package cache did not start.", hint=f"Log: {self._run / 'error.log'}")
