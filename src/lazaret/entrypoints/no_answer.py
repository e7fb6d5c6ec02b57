"""Why a database does not let us in, by the server's own words, and the cure. Never shows the password."""

import re
from dataclasses import dataclass

from sqlalchemy.engine import URL, make_url

from lazaret import migrations

MAKE_ONE = f"make one with: {migrations.CREATE_UTF8}"
LONGEST = 200
"""Characters of the server's words; one line for each address of a host may come."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """What is wrong, as a clause, and what to do about it."""

    what: str
    cure: str


def no_answer(address: str, error: BaseException) -> NoAnswer:
    """By what the driver said while it connected to `address`. Pure."""
    url, said = make_url(address), " ".join(str(error).split())
    where = _where(url)
    if "password authentication failed" in said or "no password supplied" in said:
        cure = f"Mend user and password in DATABASE_URL, or: ALTER ROLE {url.username} PASSWORD '...'"
        return NoAnswer(f"the server at {where} refuses the user {url.username}", cure)
    if "does not exist" in said:
        return NoAnswer(
            f"the server at {where} has no database or user of that name",
            f"Mend the name in DATABASE_URL, or {MAKE_ONE}",
        )
    for secret in (address, str(url.password or "")):
        said = said.replace(secret, "[hidden]") if secret else said
    return NoAnswer(
        f"no answer from {where}: {_reason(said)}",
        "Start PostgreSQL; check host and port in DATABASE_URL, listen_addresses, pg_hba.conf and the firewall.",
    )


def _reason(said: str) -> str:
    """Without the place, which is told already, and the question behind it."""
    bare = re.sub(r"^connection (?:failed|is bad): (?:connection to server (?:at|on) .*? failed: )?", "", said)
    return bare.split(" Is the server running")[0][:LONGEST].rstrip(" .")


def _where(url: URL) -> str:
    host = url.host or url.query.get("host") or "localhost"
    return f"{host if isinstance(host, str) else ' and '.join(host)} port {url.port or 5432}"
