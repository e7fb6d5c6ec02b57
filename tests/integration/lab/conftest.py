"""Labs of simulated hosts, quick and with a name of this process's own."""

import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncssh
import httpx
import pytest

from lazaret.lab.instance import Lab
from lazaret.lab.servers import CloudServer

QUICK = 0.002
"""A reset takes 0.11 s, a reinstall 0.82 s."""


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with Lab(name=f"t{os.getpid()}", hosts=1, time_scale=QUICK) as running:
        yield running


@pytest.fixture
def server(lab: Lab) -> CloudServer:
    return lab.cloud.servers()[0]


@pytest.fixture
async def provider(lab: Lab) -> AsyncIterator[httpx.AsyncClient]:
    login = (lab.account.login, lab.account.password.get_secret_value())
    async with httpx.AsyncClient(base_url=lab.base_url, auth=login, trust_env=False) as client:
        yield client


@pytest.fixture
async def control(lab: Lab) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{lab.root_url}/lab", trust_env=False) as client:
        yield client


def _log_in(server: CloudServer, **login: Any) -> Any:
    options = {"client_keys": None, "known_hosts": None, "config": None, "agent_path": None, "username": "root"}
    return asyncssh.connect(server.address, server.ssh_port, **{**options, "connect_timeout": 5, **login})


@pytest.fixture
def log_in() -> Callable[..., Any]:
    """An asyncssh connection to a server of the lab, by `password=` or `client_keys=`."""
    return _log_in
