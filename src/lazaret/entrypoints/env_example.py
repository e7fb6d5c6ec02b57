"""Writes `.env.example` from the settings: `python -m lazaret.entrypoints.env_example`. Pure."""

import sys

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from lazaret.kernel.settings import ALIASES, SECRETS, Settings, as_written


def env_example() -> str:
    """The whole file: every name with its default, its unit and meaning."""
    lines = [
        "# Every setting of Lazaret. Generated from src/lazaret/kernel/settings.py by `make docs`.",
        "# Copy it to .env and take the # away from what you set. A secret may also come from a file: NAME_FILE.",
        "# Pages named here are in the checkout, or in share/lazaret where the wheel was installed.",
    ]
    for field, info in Settings.model_fields.items():
        name = field.upper()
        lines += ["", f"# {info.description}", f"#{name}={_default(info)}"]
        if name in SECRETS:
            lines.append(f"#{name}_FILE=")
        lines += [f"#   also accepted as {alias}" for alias, meant in ALIASES.items() if meant == name]
    return "\n".join(lines) + "\n"


def _default(info: FieldInfo) -> str:
    """The default as it would be written; paths that depend on the user are left out."""
    value = info.default
    return "" if value is PydanticUndefined or value is None else as_written(value)


if __name__ == "__main__":
    sys.stdout.write(env_example())
