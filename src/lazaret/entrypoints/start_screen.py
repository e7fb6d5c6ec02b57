"""The screen that `lazaret up` shows once: where everything is, and what is missing and how to set it."""

from collections.abc import Collection

from rich.console import Console

from lazaret import __version__
from lazaret.kernel.settings import Settings


def print_start_screen(settings: Settings, *, parts: Collection[str], address: str, first_token: str | None) -> None:
    """To standard error, where the log goes, so that output stays clean."""
    console = Console(stderr=True, highlight=False)
    lines = start_screen(settings, parts=parts, address=address, first_token=first_token)
    console.print("\n".join(lines), markup=False, soft_wrap=True)


def start_screen(settings: Settings, *, parts: Collection[str], address: str, first_token: str | None) -> list[str]:
    """The lines. Pure."""
    lines = ["", f"  Lazaret {__version__}: {' and '.join(sorted(parts))}", ""]
    if address:
        lines.append(f"  API          {address}   (description: {address}/docs)")
    lines.append(f"  data         {settings.lazaret_data_dir}")
    lines.append(f"  database     {'DATABASE_URL' if settings.database_url else 'embedded, in the data directory'}")
    lines.append(f"  provider     {_provider(settings)}")
    lines.append(f"  may change   {_managed(settings)}")
    if first_token:
        lines += ["", "  Your first admin token, shown this once:", f"      {first_token}"]
    missing = _missing(settings)
    if missing:
        lines += ["", "  Missing:", *(f"    - {line}" for line in missing), "", "  Every setting: .env.example"]
    lines += ["", "  Ctrl-C ends it. `lazaret doctor` checks the installation.", ""]
    return lines


def _provider(settings: Settings) -> str:
    if not settings.has_provider:
        return "none"
    return f"Time4VPS as {settings.time4vps_login}, read every {settings.server_sync_interval:g} s"


def _managed(settings: Settings) -> str:
    ids = sorted(settings.time4vps_managed_server_ids)
    if not ids:
        return "nothing: Lazaret only looks"
    shown = ", ".join(f"vps-{server_id}" for server_id in ids[:8])
    return shown + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")


def _missing(settings: Settings) -> list[str]:
    missing = []
    if not settings.has_provider:
        missing.append("an account: set TIME4VPS_LOGIN and TIME4VPS_PASSWORD (or TIME4VPS_PASSWORD_FILE).")
        missing.append("none at hand? `lazaret lab up --env` makes a cloud on this machine to try it on.")
    if not settings.time4vps_managed_server_ids:
        missing.append("the permission: TIME4VPS_MANAGED_SERVER_IDS names the servers that Lazaret may change.")
    return missing
