"""People and the audit log by API: who may do what, and who did."""

from lazaret.users.model import Role
from tests.integration.api.conftest import Api


async def test_an_administrator_says_what_a_person_may_do(api: Api) -> None:
    await api[Role.ADMIN].post("/users/", json={"telegram_id": 501, "username": "ann"})
    assert (await api[Role.VIEWER].get("/users/501")).json()["role"] is None
    for role in (Role.VIEWER, Role.OPERATOR):
        refused = await api[role].put("/users/501/role", json={"role": "admin"})
        assert refused.status_code == 403
    changed = (await api[Role.ADMIN].put("/users/501/role", json={"role": "operator"})).json()
    assert (changed["role"], changed["is_admin"]) == ("operator", False)
    made = await api[Role.ADMIN].post("/users/", json={"telegram_id": 501, "is_admin": True})
    assert (made.status_code, made.json()["role"]) == (200, "admin")
    gone = (await api[Role.ADMIN].put("/users/501/role", json={"role": None})).json()
    assert (gone["role"], gone["is_admin"]) == (None, False)
    assert (await api[Role.ADMIN].put("/users/777/role", json={"role": "viewer"})).status_code == 404
    assert (await api[Role.ADMIN].put("/users/501/role", json={"role": "king"})).status_code == 422


async def test_what_is_left_out_of_a_person_stays(api: Api) -> None:
    names = {"username": "ann", "first_name": "Ann", "last_name": "Lee"}
    made = (await api[Role.ADMIN].post("/users/", json={"telegram_id": 501, **names})).json()
    seen = made["last_seen"]
    assert seen == made["created_at"]
    promoted = await api[Role.ADMIN].post("/users/", json={"telegram_id": 501, "is_admin": True})
    assert promoted.status_code == 200
    assert promoted.json() == made | {"is_admin": True, "role": "admin"}, "and the API did not see them"
    changed = (
        await api[Role.ADMIN].post("/users/", json={"telegram_id": 501, "username": "a", "last_name": None})
    ).json()
    assert [changed[name] for name in names] == ["a", "Ann", None], "null empties, as it says"
    assert (await api[Role.VIEWER].get("/users/501")).json() == changed
    assert (changed["last_seen"], changed["role"]) == (seen, "admin")


async def test_the_audit_log_tells_who_did_it(api: Api) -> None:
    await api[Role.ADMIN].post("/users/", json={"telegram_id": 501})
    await api[Role.ADMIN].put("/users/501/role", json={"role": "viewer"})
    rows = (await api[Role.VIEWER].get("/api/audit/", params={"search": "user.role"})).json()
    assert [(row["actor"], row["channel"], row["subject"]) for row in rows] == [("admin", "api", "user:501")]
    assert rows[0]["details"].pop("request_id"), "found in the log by it"
    assert rows[0]["details"] == {"before": None, "after": "viewer"}
    everything = (await api[Role.VIEWER].get("/api/audit/", params={"limit": 1000})).json()
    paged, before = [], 0
    while page := (await api[Role.VIEWER].get("/api/audit/", params={"limit": 2, "before": before})).json():
        paged += page
        before = page[-1]["id"]
    assert paged == everything
    assert (await api[""].get("/api/audit/")).status_code == 401
