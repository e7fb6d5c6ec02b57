"""The provider `static`: a list of SSH hosts in a file of the operator's, and nothing else."""

from lazaret.adapters.static.hosts_file import HostsFile
from lazaret.adapters.static.provider import StaticProvider

__all__ = ["HostsFile", "StaticProvider"]
