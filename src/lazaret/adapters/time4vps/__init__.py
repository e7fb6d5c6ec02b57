"""The Time4VPS provider: one client for all processes."""

from lazaret.adapters.time4vps.client import Time4VPSClient

__all__ = ["Time4VPSClient"]
