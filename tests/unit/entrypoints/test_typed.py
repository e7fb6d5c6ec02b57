"""What is typed is looked at before a command runs: a variable that was not set must not mean the whole fleet."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from lazaret.entrypoints.cli.doc import _commands
from lazaret.entrypoints.cli.main import COMMANDS, app
from lazaret.entrypoints.cli.render import print_fields, print_json, print_line, print_table
from lazaret.entrypoints.cli.spans import LONGEST, span_of
from lazaret.kernel.errors import InvalidInput
from lazaret.kernel.moments import after
from lazaret.servers.provider import Capability


def texts() -> Iterator[tuple[list[str], str]]:
    """Every text of every command: the line that gives it as `TEXT`, and what it is called."""
    for lazy in COMMANDS:
        for path, command in _commands(lazy.load(), lazy.name):
            needed = [one for one in command.params if one.required]
            for parameter in command.params:
                if isinstance(kind(parameter), type) and issubclass(kind(parameter), str):
                    yield [*path.split(), *line(needed, parameter)], parameter.opts[0]


def kind(parameter: Any) -> Any:
    """`str`, also where it may be left out; an enumeration is none of ours."""
    annotation = parameter.type_descriptor.annotation
    return str if annotation in {str, str | None} else None


def line(needed: list[Any], chosen: Any) -> list[str]:
    words: list[str] = []
    for parameter in [*needed, *([] if chosen in needed else [chosen])]:
        value = "TEXT" if parameter is chosen else {"role": "viewer", "level": "debug"}.get(parameter.name, "1")
        words += [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]
    return words


TEXTS = list(texts())


def test_they_are_all_found() -> None:
    lines = {" ".join(words) for words, _ in TEXTS}
    assert {"freeze TEXT", "unfreeze TEXT", "servers TEXT", "incidents --server TEXT"} <= lines
    assert {"deployments --project TEXT", "rebuild 1 --os TEXT", "audit TEXT"} <= lines
    assert "windows plan --reason 1 --for 1 --server TEXT" in lines
    assert len(lines) > 40


@pytest.mark.parametrize(("words", "name"), TEXTS, ids=lambda one: " ".join(one) if isinstance(one, list) else "")
def test_none_is_empty(words: list[str], name: str) -> None:
    done = CliRunner().invoke(app, ["" if word == "TEXT" else word for word in words])
    assert done.exit_code == 2, done.output
    assert f"error: {name if name.startswith('-') else name.upper()} is empty" in done.output
    assert "Is a variable not set?" in done.output


@pytest.mark.parametrize(
    ("text", "says"),
    [(" \t", "is empty"), ("x" * 201, "1 to 200 characters"), ("\x1b[31mred", "control characters")],
)
def test_none_is_too_long_or_commands_the_terminal(text: str, says: str) -> None:
    for words in (["token", "create", text], ["provision", "vps-1", "--reason", text], ["servers", text]):
        done = CliRunner().invoke(app, words)
        assert (done.exit_code, says in done.output, "\x1b" in done.output) == (2, True, False), done.output


def test_lengths_of_time_are_bounded() -> None:
    assert span_of("3650d") == LONGEST
    for text in ("3651d", "999999d", "0h", "soon"):
        with pytest.raises(InvalidInput):
            span_of(text)
    with pytest.raises(InvalidInput):
        after(datetime(9999, 12, 31, 23, tzinfo=UTC), timedelta(hours=4), "The end")


def test_nothing_that_is_shown_commands_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    bad = "\x1b[31mred\x9b1m\u202e"
    print_table(["NAME"], [(bad,)], empty="")
    print_fields({"name": bad, "names": [bad]})
    print_json([{"name": bad}])
    print_line(bad)
    shown = capsys.readouterr().out
    assert not {"\x1b", "\x9b", "\u202e"} & set(shown)
    assert shown.count("red") == 5


def test_a_list_is_shown_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields({"capabilities": [Capability.REBOOT, Capability.FLUSH_FIREWALL]})
    assert capsys.readouterr().out.split() == ["capabilities", "reboot,", "flush_firewall"]


def test_typer_says_where_a_value_comes_from() -> None:
    """What the look at texts rests on: a default is not something that was typed."""
    seen = {}

    def command(context: typer.Context, name: str = "") -> None:
        seen["source"] = context.get_parameter_source("name")

    small = typer.Typer()
    small.command()(command)
    for words, source in (([], "DEFAULT"), (["--name", ""], "COMMANDLINE")):
        assert CliRunner().invoke(small, words).exit_code == 0
        assert seen["source"].name == source
