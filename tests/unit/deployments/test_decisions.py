"""What a service may be, where it may go, and in which order it starts."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from lazaret.deployments.admission import (
    FRESH,
    Candidate,
    Capacity,
    Wanted,
    best,
    free_port,
    is_only_unmeasured,
    refusals,
)
from lazaret.deployments.order import start_order
from lazaret.deployments.requests import Order
from lazaret.deployments.spec import (
    NoLongerAdmitted,
    ServiceSpec,
    check_still_admitted,
    compose_of,
    containers_of,
    spec_from,
)
from lazaret.entrypoints.cli.deployments import LONGEST_SPEC, read_spec
from lazaret.kernel.errors import InvalidInput
from lazaret.servers.status import ServerStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WANTED = Wanted("web", memory_mb=256, disk_mb=1000, port=None)
COMPOSE = "services:\n  app:\n    image: a:1\n    ports: ['${LAZARET_PORT}:80']\n  db:\n    image: d:1\n"


def candidate(handle: str = "vps-1", *, memory: int = 1000, **changes: object) -> Candidate:
    given_fields: dict[str, object] = {
        "handle": handle,
        "is_managed": True,
        "status": ServerStatus.READY,
        "is_provisioned": True,
        "open_incidents": 0,
        "capacity": Capacity(memory, 10_000, NOW),
    }
    return Candidate(**{**given_fields, **changes})  # type: ignore[arg-type]


def test_a_good_server_is_admitted() -> None:
    assert refusals(candidate(), WANTED, at=NOW) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"is_managed": False},
        {"is_provisioned": False},
        {"open_incidents": 1},
        {"live_operation": "operation 4 (recover)"},
        {"holds": ["a drill"]},
        {"capacity": None},
        {"capacity": Capacity(1000, 10_000, NOW - FRESH - timedelta(seconds=1))},
        {"capacity": Capacity(256, 10_000, NOW)},
        {"capacity": Capacity(1000, 1000, NOW)},
        {"names_taken": frozenset({"web"})},
        *({"status": status} for status in ServerStatus if status not in {ServerStatus.READY, ServerStatus.IN_USE}),
    ],
)
def test_each_reason_refuses_by_itself(changes: dict[str, object]) -> None:
    assert len(refusals(candidate(**changes), WANTED, at=NOW)) == 1  # type: ignore[arg-type]
    assert best([candidate(**changes)], WANTED, at=NOW) is None  # type: ignore[arg-type]


def test_what_only_waits_to_be_measured_is_told_from_what_is_refused() -> None:
    waits, refused = candidate(capacity=None), candidate("vps-2", open_incidents=1)
    assert is_only_unmeasured([refused, waits], WANTED, at=NOW)
    assert not is_only_unmeasured([refused, candidate(capacity=None, holds=["a drill"])], WANTED, at=NOW)
    assert not is_only_unmeasured([], WANTED, at=NOW)


def test_the_one_with_most_memory_is_taken_and_ties_are_stable() -> None:
    many = [candidate("vps-3", memory=900), candidate("vps-2", memory=900), candidate("vps-1", memory=800)]
    chosen = best(many, WANTED, at=NOW)
    assert chosen is not None and chosen.handle == "vps-2"


def test_a_taken_port_refuses_and_a_free_one_is_the_lowest() -> None:
    busy = candidate(ports_taken=frozenset({20000, 20001}))
    assert refusals(busy, Wanted("web", 1, 1, 20000), at=NOW) == ["port 20000 is taken"]
    assert free_port(busy.ports_taken, range(20000, 20003)) == 20002
    assert free_port(busy.ports_taken, range(20000, 20002)) is None


def test_services_start_after_what_they_depend_on() -> None:
    assert start_order({"web": ("api",), "api": ("db", "elsewhere"), "db": ()}) == ["db", "api", "web"]


def test_a_circle_is_told_by_its_members() -> None:
    with pytest.raises(InvalidInput, match=r"circle: .*web"):
        start_order({"web": ("api",), "api": ("web",)})


@given(st.dictionaries(st.sampled_from("abcdef"), st.frozensets(st.sampled_from("abcdef")), max_size=6))
def test_every_order_respects_every_dependency(graph: dict[str, frozenset[str]]) -> None:
    sequences = {name: tuple(sorted(others)) for name, others in graph.items()}
    try:
        order = start_order(sequences)
    except InvalidInput:
        return
    assert sorted(order) == sorted(graph)
    for name, others in graph.items():
        assert all(order.index(other) < order.index(name) for other in others if other in graph)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, "either image or compose"),
        ({"image": "a:1"}, "container_port"),
        ({"image": "a:1", "compose": COMPOSE, "container_port": 80}, "either image or compose"),
        ({"image": "-rm", "container_port": 80}, "no name of an image"),
        ({"compose": "x: ["}, "no YAML"),
        ({"compose": "x: 1"}, "no services"),
        ({"compose": "services: {a: {image: b, privileged: true}}"}, "the host itself"),
        ({"compose": "services: {a: {image: b, network_mode: host}}"}, "the host itself"),
        ({"compose": "services: {a: {build: .}}"}, "only images"),
        ({"compose": "services: {a: {image: b, ports: ['80:80']}}"}, "LAZARET_PORT"),
        ({"compose": COMPOSE, "environment": {"LAZARET_PORT": "1"}}, "set by Lazaret"),
        ({"compose": COMPOSE, "environment": {"A": "1\n2"}}, "one line"),
        ({"compose": COMPOSE, "files": {"../etc/passwd": "x"}}, "relative path"),
        ({"compose": COMPOSE, "files": {".env": "x"}}, "relative path"),
        ({"image": "a:1", "container_port": 80, "volumes": ["/etc:/etc"]}, "name:/path"),
        ({"image": "a:1", "container_port": 80, "surprise": 1}, "Extra inputs"),
    ],
)
def test_a_bad_spec_says_what_is_wrong(spec: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        ServiceSpec(**spec)  # type: ignore[arg-type]


def test_secrets_are_kept_apart_and_come_back() -> None:
    spec = ServiceSpec(image="a:1", container_port=80, secrets={"TOKEN": SecretStr("canary")})
    kept = spec.without_secrets()
    assert "canary" not in str(kept) and "canary" not in repr(spec)
    assert spec_from(kept, {"TOKEN": "canary"}) == spec


def test_an_image_becomes_a_compose_file_that_publishes_one_port() -> None:
    spec = ServiceSpec(image="a:1", container_port=80, environment={"A": "1"}, secrets={"B": SecretStr("canary")})
    text = compose_of("web", spec)
    service = yaml.safe_load(text)["services"]["web"]
    assert service["ports"] == ["${LAZARET_PORT}:80"]
    assert service["environment"] == {"A": "${A}", "B": "${B}"}
    assert "canary" not in text
    private = compose_of("web", ServiceSpec(image="a:1", container_port=80, is_public=False))
    assert yaml.safe_load(private)["services"]["web"]["ports"] == ["127.0.0.1:${LAZARET_PORT}:80"]


def test_the_containers_are_known_by_name() -> None:
    assert containers_of("shop", ServiceSpec(compose=COMPOSE)) == ("shop-app-1", "shop-db-1")
    named = "services: {a: {image: b, container_name: shop-a}}"
    assert containers_of("shop", ServiceSpec(compose=named)) == ("shop-a",)
    assert containers_of("shop", ServiceSpec(image="a:1", container_port=80)) == ("shop-shop-1",)


@pytest.mark.parametrize(
    "kept",
    [
        {"compose": "services: {a: {image: b, volumes: ['/srv:/srv']}, c: &c {image: d}, e: *c}"},
        {"image": "a:1", "container_port": 80, "files": {"compose.override.yaml": "x"}},
        {"image": "a:1", "container_port": 80, "environment": {"COMPOSE_FILE": "x"}},
    ],
)
def test_what_was_admitted_earlier_is_still_watched_and_not_deployed_again(kept: dict[str, Any]) -> None:
    spec = spec_from(kept, {})
    expected = ("web-a-1", "web-c-1", "web-e-1") if "compose" in kept else ("web-web-1",)
    assert containers_of("web", spec) == expected
    with pytest.raises(NoLongerAdmitted, match="Version 3 of web is no longer admitted: "):
        check_still_admitted("web", 3, spec)
    check_still_admitted("web", 3, spec_from({"compose": COMPOSE, "secret_names": ["A"]}, {"A": "canary"}))


SPEC = ServiceSpec(image="a:1", container_port=80)
BAD_NAMES = [
    "",
    "../web",
    "a/b",
    "..",
    ".",
    "-a",
    "a-",
    "A",
    "a b",
    "a\n",
    "\n",
    "a\x00",
    "ü",
    "a" * 41,
    "a_b",
    "~",
    "$A",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_whoever_asks_names_are_names(name: str) -> None:
    with pytest.raises(InvalidInput, match="The project's name"):
        Order(name, "web", SPEC)
    with pytest.raises(InvalidInput, match="The service's name"):
        Order("shop", name, SPEC)


@given(st.text(max_size=50))
def test_no_name_leaves_its_directory(name: str) -> None:
    try:
        Order("shop", name, SPEC)
    except InvalidInput:
        return
    assert Path("/opt", name).parent == Path("/opt") and name.isascii() and name.strip() == name


@pytest.mark.parametrize("port", [0, -1, 22, 80, 1023, 65536, 10**9])
def test_whoever_asks_no_port_of_the_system_is_published(port: int) -> None:
    with pytest.raises(InvalidInput, match="port"):
        Order("shop", "web", SPEC, port=port)
    Order("shop", "web", SPEC, port=20_000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 30_000, "nested too deep"),
        ("image: a\ncontainer_port: [80]\n", "container_port: "),
        ("compose: 'services: {a: {image: x, ports: 5}}'", "compose: service a: ports: "),
        ("1: 2", "1: Extra inputs"),
        ("image: Canary value\ncontainer_port: 80", "image: is no name"),
        ("a: [", "is no YAML"),
        ("- a", "holds no mapping"),
        ("", "holds no mapping"),
        ("#" * (LONGEST_SPEC + 1), "too long"),
    ],
)
def test_a_file_that_is_no_spec_says_what_is_wrong_with_it(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "web.yml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=told) as refused:
        read_spec(tmp_path / "web.yml")
    assert "Canary" not in str(refused.value)


def test_a_file_is_read_as_it_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    path.write_text(
        "image: 2001-99-99\ncontainer_port: 80\nis_public: no\nhealth: {kind: tcp, timeout_s: 2.5}\n"
        "environment: {RATE: 1.10}\n",
        encoding="utf-8",
    )
    spec = read_spec(path)
    assert (spec.image, spec.is_public, spec.health.timeout_s) == ("2001-99-99", False, 2.5)
    assert spec.environment == {"RATE": "1.10"}
    path.write_bytes(b"\xff\xfe")
    for unreadable in (path, tmp_path, tmp_path / "absent"):
        with pytest.raises(InvalidInput, match="cannot be read"):
            read_spec(unreadable)


@given(st.text(alphabet="aimgecopstv:-[]{}?,&*!|>'\"% \n0129.", max_size=120))
def test_whatever_the_file_is_nothing_but_a_refusal_is_raised(text: str) -> None:
    try:
        read_spec(_File(text))  # type: ignore[arg-type]
    except InvalidInput as error:
        assert error.hint


class _File:
    """A path whose file holds this text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def open(self, *, encoding: str) -> io.StringIO:
        assert encoding == "utf-8"
        return io.StringIO(self._text)
