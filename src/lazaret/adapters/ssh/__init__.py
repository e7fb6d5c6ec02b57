"""Reaching servers by SSH and TCP."""

from lazaret.adapters.ssh.access import AsyncSshAccess

__all__ = ["AsyncSshAccess"]
