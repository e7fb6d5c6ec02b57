"""The key pair with which Lazaret logs in to servers: the operator's, or one made on first start.

A private copy is kept in the data directory with mode 0600 and a final newline, because OpenSSH refuses a key that
others can read or that lacks the newline.
"""

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lazaret.kernel.errors import Misconfigured
from lazaret.kernel.secrets import write_private
from lazaret.kernel.settings import Settings
from lazaret.provisioning.context import AccessKey

COMMENT = "lazaret"


def access_key_of(settings: Settings) -> AccessKey:
    """The key of this installation. Raises `Misconfigured`."""
    return load_or_create_access_key(
        settings.lazaret_data_dir,
        private_key_path=settings.orchestrator_ssh_private_key_path,
        public_key=settings.orchestrator_ssh_public_key,
    )


def load_or_create_access_key(data_dir: Path, *, private_key_path: Path | None, public_key: str | None) -> AccessKey:
    """The configured key, else the one in `data_dir`, made on first use. Raises `Misconfigured`."""
    own = access_key_path(data_dir)
    if private_key_path is not None:
        content = _read(private_key_path)
        if not own.exists() or own.read_bytes() != content:
            own.unlink(missing_ok=True)
            write_private(own, content)
    elif not own.exists():
        write_private(own, _new_key())
    derived = _public_part(own.read_bytes(), str(private_key_path or own))
    if public_key and public_key.split()[:2] != derived.split()[:2]:
        raise Misconfigured(
            "ORCHESTRATOR_SSH_PUBLIC_KEY does not belong to the private key.",
            hint="Leave it empty: it is made from the private key.",
        )
    return AccessKey(private_key=own, public_key=(public_key or f"{derived} {COMMENT}").strip())


def access_key_path(data_dir: Path) -> Path:
    """Where the key is that ssh is given."""
    return data_dir / "ssh" / "access_key"


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Misconfigured(
            f"ORCHESTRATOR_SSH_PRIVATE_KEY_PATH names a file that cannot be read: {error.strerror}.",
            hint=f"Make {path} readable for this user, or leave the setting empty to have a key made.",
        ) from None
    return content.rstrip(b"\n") + b"\n"


def _new_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )


def _public_part(content: bytes, where: str) -> str:
    try:
        key = serialization.load_ssh_private_key(content, password=None)
    except Exception:  # noqa: BLE001 - the library's messages may quote the key
        raise Misconfigured(
            f"{where} is not an OpenSSH private key without passphrase.",
            hint="Make one with: ssh-keygen -t ed25519 -N '' -f FILE",
        ) from None
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return public.decode()
