"""Reaching servers by SSH and TCP."""

from lazaret.adapters.ssh.access import AsyncSshAccess
from lazaret.adapters.ssh.streams import SshReadingStreams

__all__ = ["AsyncSshAccess", "SshReadingStreams"]
