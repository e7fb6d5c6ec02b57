"""The screen that `lazaret up` shows once: where everything is, and what is missing and how to set it."""

from collections.abc import Collection

from rich.console import Console

from lazaret import __version__
from lazaret.entrypoints.providers import managed_handles, permissions_of
from lazaret.kernel.documents import document
from lazaret.kernel.settings import Settings


def print_start_screen(settings: Settings, *, parts: Collection[str], address: str, first_token: str | None) -> None:
    """To standard error, where the log goes, so that output stays clean."""
    console = Console(stderr=True, highlight=False)
    lines = start_screen(settings, parts=parts, address=address, first_token=first_token)
    console.print("\n".join(lines), markup=False, soft_wrap=True)


def start_screen(settings: Settings, *, parts: Collection[str], address: str, first_token: str | None) -> list[str]:
    """The lines."""
    lines = ["", f"  Lazaret {__version__}: {' and '.join(sorted(parts))}", ""]
    if address and "api" in parts:
        lines.append(f"  API          {address}   (description: {address}/openapi.json)")
        dashboard = settings.lazaret_public_url.rstrip("/") or address
        lines.append(f"  dashboard    {dashboard}   (`lazaret token login` makes a link that signs you in)")
    elif address:
        lines.append(f"  metrics      {address}/metrics")
    lines.append(f"  data         {settings.lazaret_data_dir}")
    lines.append(f"  database     {'DATABASE_URL' if settings.database_url else 'embedded, in the data directory'}")
    lines.append(f"  provider     {_provider(settings)}")
    lines.append(f"  may change   {_managed(settings)}")
    if first_token:
        lines += ["", "  Your first admin token, shown this once:", f"      {first_token}"]
    missing = _missing(settings)
    if missing:
        lines += [
            "",
            "  Missing:",
            *(f"    - {line}" for line in missing),
            "",
            f"  Every setting: {document('.env.example')}",
        ]
    lines += ["", "  Ctrl-C ends it. `lazaret doctor` checks the installation.", ""]
    return lines


def _provider(settings: Settings) -> str:
    lists = []
    if settings.has_provider:
        lists.append(f"Time4VPS as {settings.time4vps_login}")
    if settings.lazaret_static_hosts_file is not None:
        lists.append(f"the hosts of {settings.lazaret_static_hosts_file}")
    return f"{' and '.join(lists)}, read every {settings.server_sync_interval:g} s" if lists else "none"


def _managed(settings: Settings) -> str:
    handles = managed_handles(permissions_of(settings))
    if not handles:
        return "nothing: Lazaret only looks"
    return ", ".join(handles[:8]) + (f" and {len(handles) - 8} more" if len(handles) > 8 else "")


def _permission(settings: Settings) -> str:
    if settings.lazaret_static_hosts_file is not None and not settings.has_provider:
        return "`managed: true` in the hosts file marks the hosts that Lazaret may change (`lazaret doctor` checks it)"
    return "TIME4VPS_MANAGED_SERVER_IDS names the servers that Lazaret may change"


def _missing(settings: Settings) -> list[str]:
    missing = []
    if settings.missing_half is not None:
        missing.append(f"half of the account: {settings.missing_half} is not set, so it is not used.")
    elif not settings.has_servers:
        missing.append("an account: set TIME4VPS_LOGIN and TIME4VPS_PASSWORD (or TIME4VPS_PASSWORD_FILE).")
        missing.append("or hosts of your own: name them in a file, and the file in LAZARET_STATIC_HOSTS_FILE.")
        missing.append("none at hand? `lazaret lab up --env` makes a cloud on this machine to try it on.")
    if not managed_handles(permissions_of(settings)):
        missing.append(f"the permission: {_permission(settings)}.")
    return missing
