"""Where a person finds a document that a message names: beside an installed Lazaret, or in the checkout."""

import sys
from pathlib import Path

_CHECKOUT = Path(__file__).parents[3]
_INSTALLED = Path(sys.prefix) / "share" / "lazaret"


def document(name: str, *, checkout: Path = _CHECKOUT, installed: Path = _INSTALLED) -> str:
    """`docs/howto/back_up.md` as it can be opened on this machine: as it is in a checkout, else with its directory.

    The wheel brings the documents along (`pyproject.toml`); a container has none, and is run from a checkout.
    """
    brought = installed / name.removeprefix(".")
    return str(brought) if brought.exists() and not (checkout / name).exists() else name
