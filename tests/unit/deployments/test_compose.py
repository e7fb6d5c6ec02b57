"""What a Compose file may hold: every documented use is admitted, and nothing that reaches for the host."""

import time
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from lazaret.deployments.compose import INSTEAD, SERVICE, TOP, canonical, check_compose
from lazaret.deployments.plain_yaml import MOST_VALUES, NotPlain, read_yaml, write_yaml
from lazaret.deployments.spec import ServiceSpec, compose_of

PORT = "${LAZARET_PORT}"
FULL = """
version: "3.8"
services:
  web:
    image: ghcr.io/shop/web:1.2@sha256:0a
    container_name: shop-web
    command: ["serve", "--token", "${TOKEN}"]
    entrypoint: /init
    environment: {MODE: production, COUNT: 3, ON: yes, RATE: 1.10, DAY: 2001-99-99, TOKEN: "${TOKEN}", EMPTY: }
    labels: ["traefik.enable=true"]
    ports: ["${LAZARET_PORT}:80"]
    expose: [9000, "9001/udp"]
    volumes:
      - data:/var/lib/data
      - ./conf/web.conf:/etc/web.conf:ro
      - {type: volume, source: data, target: /again, read_only: true}
      - {type: bind, source: ./conf, target: /etc/conf, read_only: true}
      - {type: tmpfs, target: /run, tmpfs: {size: 64m}}
    tmpfs: ["/tmp:size=64m,noexec"]
    networks: {inner: {aliases: [shop]}, default: }
    depends_on: {db: {condition: service_healthy}}
    healthcheck: {test: [CMD, curl, "http://localhost/"], interval: 1m30s, timeout: 5s, retries: 3}
    restart: no
    user: "1000:1000"
    working_dir: /srv
    init: true
    read_only: true
    stop_grace_period: 30s
    mem_limit: 512m
    cpus: 0.5
    deploy: {resources: {limits: {cpus: "0.5", memory: 64M, pids: 100}}}
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    logging: {driver: json-file, options: {max-size: 10m, max-file: "3"}}
  db:
    image: postgres:17
    depends_on: []
    networks: [inner]
volumes:
  data:
networks:
  inner: {internal: true, driver: bridge}
  default: {}
"""


def service(**keys: Any) -> str:
    return yaml.safe_dump({"services": {"a": {"image": "b:1", **keys}}})


def mount(**keys: Any) -> str:
    return service(volumes=[keys])


def test_what_services_need_is_admitted_and_reaches_the_host_as_it_was_checked() -> None:
    content = check_compose(FULL)
    written = canonical(FULL)
    assert yaml.safe_load(written) == content == check_compose(written)
    web = content["services"]["web"]
    assert (web["environment"]["ON"], web["environment"]["RATE"], web["environment"]["DAY"]) == (
        "yes",
        "1.10",
        "2001-99-99",
    )
    spec = ServiceSpec(compose=FULL, files={"conf/web.conf": "x"})
    assert compose_of("shop", spec) == written


@pytest.mark.parametrize(
    "port",
    [
        f"{PORT}:80",
        f"127.0.0.1:{PORT}:65535/tcp",
        {"published": PORT, "target": 80},
        {"published": PORT, "target": "80", "protocol": "tcp", "host_ip": "127.0.0.1", "mode": "host"},
    ],
)
def test_the_one_port_is_published_in_either_form(port: object) -> None:
    check_compose(service(ports=[port]))


@pytest.mark.parametrize(
    "ports",
    [
        5, "80", [80], ["80"], [f"22:{PORT}"], [f"{PORT}"], [f"{PORT}:0"], [f"{PORT}:65536"], [f"{PORT}:80-90"],
        [f"0.0.0.0:{PORT}:80"], [f"{PORT}:53/udp"], [f"{PORT}:80", f"{PORT}:81"], ["${LAZARET_PORT:-22}:80"],
        ["${OTHER}:80"], [f"22:80#{PORT}"], [f"{PORT}:80\n"], [None], [[f"{PORT}:80"]], {PORT: 80}, True,
        [{"published": 22, "target": 80}], [{"target": 80}], [{"published": PORT}],
        [{"published": PORT, "target": 80, "name": "x"}], [{"published": PORT, "target": [PORT]}],
    ],
)  # fmt: skip
def test_no_other_port_is_published(ports: object) -> None:
    with pytest.raises(ValueError, match=r"service a: ports: .*"):
        check_compose(service(ports=ports))


def test_two_containers_cannot_have_the_one_port() -> None:
    two = {name: {"image": "b:1", "ports": [f"{PORT}:80"]} for name in ("a", "b")}
    with pytest.raises(ValueError, match=r"service b: ports: a publishes"):
        check_compose(yaml.safe_dump({"services": two}))


@pytest.mark.parametrize(
    "volume",
    [
        "/:/host", "/var/run/docker.sock:/var/run/docker.sock", "/data", "../x:/x:ro", "./../x:/x:ro",
        "./a/../../b:/x:ro",
        "~/x:/x:ro", "${HOME}:/x:ro", "$HOME:/x:ro", "./${X}:/x:ro", ".:/x:ro", "./:/x:ro", "./.env:/x:ro", "./a:/x",
        "./a:/x:rw", "./a:/x:ro,rshared", "data:/x:rshared", "data:${X}", "c:/x:ro", "a:/x", "data:", "", 5, None, True,
        "data:/x\n", "./a//b:/x:ro", "a/b:/x:ro", ["data:/x"],
    ],
)  # fmt: skip
def test_only_named_volumes_and_own_files_are_mounted(volume: object) -> None:
    with pytest.raises(ValueError, match=r"service a: volumes: .*named volume"):
        check_compose(service(volumes=[volume]))


@pytest.mark.parametrize(
    "text",
    [
        mount(type="bind", source="/", target="/x", read_only=True),
        mount(type="bind", source="./a", target="/x"),
        mount(type="bind", source="./a", target="/x", read_only=False),
        mount(type="bind", source="./a", target="/x", read_only=True, bind={"create_host_path": True}),
        mount(type="volume", source="/", target="/x"),
        mount(type="volume", source="./a", target="/x"),
        mount(type="volume", source="data", target="/x", volume={"subpath": "x"}),
        mount(type="npipe", source="x", target="/x"),
        mount(type="cluster", source="x", target="/x"),
        mount(source="/", target="/x"),
        mount(type=["bind"], source="/", target="/x"),
        mount(type="tmpfs", source="/", target="/x"),
    ],
)
def test_the_long_form_admits_no_more(text: str) -> None:
    with pytest.raises(ValueError, match="service a: volumes: "):
        check_compose(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("privileged", True), ("network_mode", "host"), ("network_mode", "container:x"), ("pid", "host"),
        ("ipc", "host"), ("uts", "host"), ("userns_mode", "host"), ("cgroup_parent", "/"), ("cap_add", ["SYS_ADMIN"]),
        ("devices", ["/dev/sda"]), ("security_opt", ["apparmor:unconfined"]), ("security_opt", "x"),
        ("extends", {"file": "/etc/passwd"}), ("env_file", "../x"), ("build", "/"), ("volumes_from", ["container:x"]),
        ("configs", ["x"]), ("secrets", ["x"]), ("sysctls", {"a": 1}), ("use_api_socket", True),
        ("provider", {"type": "sh"}), ("post_start", [{"command": "x", "privileged": True}]), ("runtime", "x"),
        ("gpus", "all"), ("group_add", [0]), ("develop", {}), ("x-anything", 1), ("image", "${IMAGE}"), ("image", 5),
        ("image", None), ("networks", {"n": {"ipv4_address": "1.1.1.1"}}), ("networks", "host"), ("user", 0),
        ("logging", {"driver": "syslog"}), ("logging", {"options": {"labels": "x"}}), ("tmpfs", 5), ("tmpfs", ["x"]),
        ("labels", {"com.docker.compose.project": "other"}), ("labels", ["com.docker.compose.project=other"]),
        ("environment", {"A": [1]}), ("environment", "A=1"), ("environment", ["=1"]), ("command", [1]),
        ("deploy", {"mode": "global"}), ("deploy", {"resources": {"reservations": {"devices": []}}}),
        ("healthcheck", {"test": 1}), ("healthcheck", []), ("depends_on", {"b": {"condition": "x"}}),
        ("depends_on", 5), ("restart", True), ("container_name", "${X}"), ("pull_policy", "build"), ("init", "yes"),
        ("hostname", "$X"), ("working_dir", "x"), ("expose", 80), ("cpus", True), ("mem_limit", "-1"),
        ("\x1b[2J", 1),
    ],
)  # fmt: skip
def test_each_refusal_names_service_and_key_and_what_to_do(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"service a: .{4,}") as refused:
        check_compose(service(**{key: value}))
    told = str(refused.value)
    assert key in told or "?" in told
    assert told.isprintable() and any(word in told for word in ("write", "leave", "see", "admitted", "given", "give"))


@pytest.mark.parametrize(
    "top",
    [
        {"include": ["/etc/passwd"]}, {"name": "other"}, {"configs": {"x": {"file": "/etc/shadow"}}}, {"x-a": 1},
        {"secrets": {"x": {"file": "/etc/shadow"}}}, {"models": {}},
        {"volumes": {"data": {"driver_opts": {"type": "none", "o": "bind", "device": "/"}}}},
        {"volumes": {"data": {"external": True}}}, {"volumes": {"data": {"name": "other_data"}}},
        {"volumes": {"data": {"driver": "local"}}}, {"volumes": ["data"]}, {"volumes": {"d": None}},
        {"networks": {"n": {"external": True}}}, {"networks": {"n": {"name": "host"}}},
        {"networks": {"n": {"driver": "host"}}}, {"networks": {"n": {"driver_opts": {}}}}, {"networks": "host"},
    ],
)  # fmt: skip
def test_what_stands_beside_the_services_reaches_no_further(top: dict[str, Any]) -> None:
    (key,) = top
    with pytest.raises(ValueError, match=rf"^{key}: .{{4,}}"):
        check_compose(yaml.safe_dump({"services": {"a": {"image": "b:1"}}, **top}))


def test_what_is_mounted_is_given() -> None:
    compose = service(volumes=["./conf/a:/a:ro"])
    ServiceSpec(compose=compose, files={"conf/a": "x"})
    for files in ({}, {"conf/b": "x"}, {"conf": "x"}, {"conf/ab": "x"}):
        with pytest.raises(ValidationError, match=r"service a: volumes: \./conf/a is not in files"):
            ServiceSpec(compose=compose, files=files)


@pytest.mark.parametrize("name", ["compose.yml", "compose.override.yaml", "docker-compose.yml"])
def test_no_file_is_taken_for_a_compose_file(name: str) -> None:
    with pytest.raises(ValidationError, match="name it otherwise"):
        ServiceSpec(image="a:1", container_port=80, files={name: "x"})


@pytest.mark.parametrize("name", ["COMPOSE_FILE", "DOCKER_HOST", "DOCKER_CONFIG", "LD_PRELOAD"])
@pytest.mark.parametrize("where", ["environment", "secrets"])
def test_no_variable_steers_docker_compose_itself(name: str, where: str) -> None:
    with pytest.raises(ValidationError, match="steer Docker Compose"):
        ServiceSpec(image="a:1", container_port=80, **{where: {name: "x"}})  # type: ignore[arg-type]
    ServiceSpec(image="a:1", container_port=80, environment={"DOCKER_INFLUXDB_INIT_MODE": "setup"})


@pytest.mark.parametrize("value", ["canary\\", "canary\\'", "canary\r"])
def test_no_value_ends_its_own_quotes(value: str) -> None:
    with pytest.raises(ValidationError, match="A has a backslash") as refused:
        ServiceSpec(image="a:1", container_port=80, environment={"A": value})
    assert "canary" not in refused.value.errors()[0]["msg"]


# --- the text itself

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 30_000, "{" * 30_000, "? " * 5000, "- " * 30_000, "[{" * 20_000, BOMB, "[" + "a," * 30_000,
        '"\\U99999999"',
        "%YAML 1." + "1" * 6000 + "\n---\na", "a: 1\na: 2", "a: 1\n---\na: 1", "!!python/object:os.system a",
        "? [a]\n: b", '"\\ud800"', '"\\0"', "a: &x 1\nb: *x", "\x00", "a: [", "!!timestamp 2001-99-99", "'",
    ],
)  # fmt: skip
def test_hostile_texts_are_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(NotPlain):
        read_yaml(text)
    assert time.process_time() - began < 1


def test_numbers_and_dates_that_python_cannot_hold_are_texts() -> None:
    text = "{a: 2001-99-99, b: " + "9" * 5000 + ", c: .inf, d: 017, e: 1_0, f: 22:22, g: -5, h: !!str 5}"
    with pytest.raises(NotPlain, match="tags"):
        read_yaml(text)
    read = read_yaml(text.replace("!!str ", ""))
    assert read["g"] == -5 and all(type(read[key]) is str for key in "abcdf")
    assert read_yaml("") is None and read_yaml("# nothing") is None


def test_a_refusal_names_the_line_and_shows_no_value() -> None:
    with pytest.raises(NotPlain, match=r"^line 2: ") as refused:
        read_yaml("a: &canary 1\nb: *canary")
    assert "canary" not in str(refused.value)
    with pytest.raises(NotPlain, match=f"more than {MOST_VALUES}"):
        read_yaml("- 1\n" * (MOST_VALUES + 1))


# --- whatever it is

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["/", "/:/host", "../x", "~", "host", "data:/x", "./a:/a:ro", "b:1", PORT, f"{PORT}:80", f"22:{PORT}", "${A}"]
    ),
)
KEYS = st.one_of(
    st.sampled_from(
        sorted({
            *SERVICE, *INSTEAD, *TOP, "type", "source", "target", "driver_opts", "external", "file", "published",
            "read_only", "test", "resources", "limits", "include", "configs", "device", "aliases", "bind",
        })
    ),
    st.text(max_size=8),
)  # fmt: skip
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
SERVICES = st.dictionaries(
    st.sampled_from("ab"), st.dictionaries(KEYS, ANYTHING, max_size=3).map(lambda more: {"image": "b:1", **more})
)
FILES = st.one_of(
    ANYTHING,
    st.builds(
        lambda services, more: {**more, "services": services}, SERVICES, st.dictionaries(KEYS, ANYTHING, max_size=2)
    ),
)
HARMFUL = {*INSTEAD, "driver_opts", "external", "include", "name", "file", "host_ip", "bind"} - {"volumes"}


def reaches_out(content: dict[str, Any]) -> list[str]:
    """Judged in another way than the tables do: what of it would reach beyond the container."""
    found = [key for key in content if key not in {"version", "services", "volumes", "networks"}]
    for one in [*(content.get("volumes") or {}).values(), *(content.get("networks") or {}).values()]:
        found += [key for key in one or {} if key not in {"labels", "driver", "internal"}]
    published = []
    for service in content["services"].values():
        found += sorted(HARMFUL & set(service))
        for volume in service.get("volumes") or []:
            source = volume.get("source", "") if isinstance(volume, dict) else volume.split(":")[0]
            found += [source] if source.startswith(("/", "~", "..", "$")) or "$" in source or "/." in source else []
        published += service.get("ports") or []
        found += [str(one) for one in service.get("networks") or [] if "$" in one]
    found += [str(port) for port in published if PORT not in str(port)]
    return found + (["two ports"] if len(published) > 1 else [])


@given(FILES)
@example({"services": {"a": {"image": "b:1", "ports": 5}}})
@example({"services": {"a": {"image": "b:1", "volumes": [{"type": "bind", "source": "/", "target": "/h"}]}}})
def test_whatever_the_structure_is_it_is_refused_in_words_or_reaches_for_nothing(content: object) -> None:
    text = yaml.safe_dump(content)
    try:
        admitted = check_compose(text)
    except ValueError as refused:
        assert str(refused).isprintable()
        return
    assert reaches_out(admitted) == []
    assert check_compose(write_yaml(admitted)) == admitted == yaml.safe_load(write_yaml(admitted))


@given(st.text(alphabet="ab:-[]{}?,&*!|>'\"%#@`~ \n\t\\0\x85\u2028<=", max_size=200))
def test_whatever_the_text_is_nothing_but_a_refusal_is_raised(text: str) -> None:
    try:
        content = read_yaml(text)
    except NotPlain:
        return
    assert read_yaml(write_yaml(content)) == content
