"""Which monitor watches which server: several share the fleet without talking, by rendezvous hashing. Pure.

Who is alive is in the table `monitors`; when one falls silent its servers fall to the others, and no other server
moves.
"""

import hashlib
from collections.abc import Collection, Iterable

ALIVE_S = 15.0
"""A monitor that said nothing for so long is dead; its share is taken over within twice that."""
BEAT_S = 5.0
"""A monitor says so often that it is alive."""


def share_of(monitor: str, alive: Collection[str], handles: Iterable[str]) -> set[str]:
    """The servers that fall to `monitor` among those alive, itself included."""
    members = sorted({*alive, monitor})
    if len(members) == 1:
        return set(handles)
    return {handle for handle in handles if max(members, key=lambda member: _weight(member, handle)) == monitor}


def _weight(member: str, handle: str) -> bytes:
    return hashlib.blake2b(f"{member}\0{handle}".encode(), digest_size=8).digest()
