"""What each command needs, by module and name of its function. One that is not here needs an administrator.

Whoever may read the data directory may do everything: the key is there. With `LAZARET_TOKEN` the command line acts as
that token and may do what its role may, as a program does over HTTP.
"""

from collections.abc import Mapping

VIEWER, OPERATOR, ADMIN = "viewer", "operator", "admin"
"""As `users/model.py` spells them; that module is too heavy for every command's start."""

NEEDS: Mapping[str, str] = {
    "reading.servers": VIEWER,
    "reading.processes": VIEWER,
    "processes.mcp": VIEWER,
    "healing.why": VIEWER,
    "healing.check": OPERATOR,
    "healing.holds": VIEWER,
    "healing.freeze": OPERATOR,
    "healing.unfreeze": OPERATOR,
    "healing.list_incidents": VIEWER,
    "healing.show": VIEWER,
    "healing.ack": OPERATOR,
    "healing.recover": OPERATOR,
    "healing.evidence": OPERATOR,
    "healing.approvals": VIEWER,
    "healing.approve": OPERATOR,
    "healing.deny": OPERATOR,
    "healing.windows": VIEWER,
    "healing.plan": OPERATOR,
    "healing.cancel": OPERATOR,
    "operating.provision": OPERATOR,
    "operating.rebuild": OPERATOR,
    "changing.change": OPERATOR,
    "operating.operations": VIEWER,
    "operating.show": VIEWER,
    "operating.follow": VIEWER,
    "operating.cancel": OPERATOR,
    "deployments.deployments": VIEWER,
    "deployments.show": VIEWER,
    "deployments.deploy": OPERATOR,
    "deployments.start": OPERATOR,
    "deployments.stop": OPERATOR,
    "deployments.redeploy": OPERATOR,
    "deployments.remove": OPERATOR,
    "deployments.logs": OPERATOR,
    "people.audit": VIEWER,
    "people.users": VIEWER,
    "people.role": ADMIN,
    "log_level.log_level": ADMIN,
    "tokens.create": ADMIN,
    "tokens.list_tokens": ADMIN,
    "tokens.revoke": ADMIN,
    "tokens.login": ADMIN,
    "tokens.logout": ADMIN,
    "safekeeping.backup": ADMIN,
    "safekeeping.restore": ADMIN,
}


def needs(function: str) -> str:
    """The role that a command needs; `function` is `module.name`."""
    return NEEDS.get(function, ADMIN)
