"""The disk of a host that Lazaret set up once, for the tests that are about what happens afterwards.

Made by the product itself, the first time that this machine runs such a test with these playbooks; kept beside the
lab's templates.
"""

import asyncio
import fcntl
import hashlib
import shutil

from lazaret.adapters.ansible import baseline_version, load_variables
from lazaret.adapters.ssh.access_key import access_key_of
from lazaret.lab.images import MAKE_WEB_IMAGE, make_web_image
from lazaret.lab.nspawn import NspawnHost
from lazaret.lab.nspawn_rack import NspawnRack
from lazaret.lab.template import default_cache_directory, suite_of, template_name
from tests.healing_scene import PreparedDisk, scene_of


async def prepared_disk() -> PreparedDisk:
    """With Docker and the web image on it. One process at a time makes it; the others wait."""
    template = template_name(suite_of(NspawnRack.templates[0].os))
    recipe = "\0".join((template, baseline_version(load_variables(None)), MAKE_WEB_IMAGE))
    name = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    directory = default_cache_directory() / "prepared"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    disk = PreparedDisk(directory / f"{name}.img", directory / f"{name}.key")
    with (directory / f".{name}.lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if not disk.image.exists():
            await _make(disk)
    return disk


async def _make(disk: PreparedDisk) -> None:
    async with scene_of(1, simulated=False) as scene:
        (server,) = scene.lab.cloud.servers()
        host = scene.lab.cloud.host(server.server_id)
        assert isinstance(host, NspawnHost)
        await make_web_image(host)
        await scene.end()
        shutil.copy(access_key_of(scene.office.settings).private_key, disk.key)
        await host.save_disk(disk.image)
