"""Container images for hosts of the lab, which reach no registry: made on the host itself, of what Debian ships."""

from lazaret.lab.nspawn import NspawnHost

WEB_IMAGE = "lazaret-lab/web:1"
"""Listens where its command says; its pages are in `/www`."""
WEB_COMMAND = ("/bin/busybox", "httpd", "-f", "-p", "9000", "-h", "/www")
WEB_PORT = 9000
WEB_SAYS = "hello"

# The name of the tag is looked up first: a second call costs next to nothing.
MAKE_WEB_IMAGE = f"""set -eu
docker image inspect {WEB_IMAGE} >/dev/null 2>&1 && exit 0
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq busybox-static >/dev/null
made=$(mktemp -d)
mkdir -p $made/bin $made/www
cp /bin/busybox $made/bin/; ln -sf busybox $made/bin/sh
echo {WEB_SAYS} > $made/www/index.html
tar -C $made -c . | docker import - {WEB_IMAGE} >/dev/null
rm -r $made
"""


async def make_web_image(host: NspawnHost) -> None:
    """An image with a web server that says hello. Docker must run there. Raises `CommandFailed`, `Conflict`."""
    await host.run_inside("sh", "-c", MAKE_WEB_IMAGE, timeout_s=120)
