"""The provider's account: login, address and list. One call, made without waiting for a turn."""

from lazaret.entrypoints.doctor.finding import Finding, Patient, State
from lazaret.servers.provider import ProviderThrottled

PATIENCE_S = 15.0


async def check_provider(name: str, patient: Patient) -> Finding:
    """The list can be read and has every server that we may change. Raises the provider's own refusals."""
    settings = patient.settings
    if not settings.has_provider:
        return _no_account(name, patient)
    try:
        listed = await _listed(patient)
    except ProviderThrottled as error:
        cure = "Nothing is wrong: ask again later. If it stays so, lower LAZARET_PROVIDER_CALLS_PER_MINUTE."
        return Finding(name, State.UNKNOWN, f"the provider asks for a pause of {error.wait_s:.0f} s", cure)
    strangers = sorted(settings.time4vps_managed_server_ids - listed)
    if strangers:
        named = ", ".join(map(str, strangers))
        return Finding(
            name,
            State.BROKEN,
            f"not in the account: {named}",
            f"Mend TIME4VPS_MANAGED_SERVER_IDS: the account has {', '.join(map(str, sorted(listed))) or 'no server'}.",
        )
    managed = len(settings.time4vps_managed_server_ids)
    if not managed:
        return Finding(name, State.MISSING, f"{len(listed)} servers, none managed", "Set TIME4VPS_MANAGED_SERVER_IDS.")
    return Finding(name, State.OK, f"{len(listed)} servers, {managed} managed")


def _no_account(name: str, patient: Patient) -> Finding:
    missing = patient.settings.missing_half
    if missing is not None:
        cure = f"Set {missing}{' (or TIME4VPS_PASSWORD_FILE)' if missing.endswith('PASSWORD') else ''}."
        return Finding(name, State.BROKEN, f"half of an account is set: {missing} is missing", cure)
    if patient.settings.lazaret_static_hosts_file is not None:
        return Finding(name, State.OK, "no account: the hosts of a file only")
    return Finding(
        name,
        State.MISSING,
        "no account",
        "Set TIME4VPS_LOGIN and TIME4VPS_PASSWORD, or LAZARET_STATIC_HOSTS_FILE for hosts of your own.",
    )


async def _listed(patient: Patient) -> set[int]:
    from lazaret.adapters.time4vps import wire  # noqa: PLC0415 - heavy
    from lazaret.adapters.time4vps.connection import AccountConnection  # noqa: PLC0415
    from lazaret.servers.call_budget import InMemoryCallBudget  # noqa: PLC0415

    settings = patient.settings
    assert settings.time4vps_login is not None
    assert settings.time4vps_password is not None
    account = AccountConnection(
        base_url=settings.time4vps_base_url,
        login=settings.time4vps_login,
        password=settings.time4vps_password,
        budget=InMemoryCallBudget(patient.clock),
        timeout_s=PATIENCE_S,
        transport=None,
    )
    try:
        return {server.server_id for server in wire.listed_servers(await account.get("/server", within_s=0))}
    finally:
        patient.providers_date = account.providers_date
        await account.aclose()
