"""What is logged: one line for each event, and no secret in any part of it."""

import json
import logging
from collections.abc import Iterator

import psycopg
import pytest
import structlog
from pydantic import SecretStr

from lazaret.kernel.logging import configure_logging, get_logger
from lazaret.kernel.secrets import Redactor

PLANTED = "planted \"quoted' <&> \\ word"


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def fail() -> None:
    raise ValueError(f"it was {PLANTED}")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_part_of_a_line_shows_a_secret(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    redactor = Redactor()
    redactor.hide(SecretStr(PLANTED))
    configure_logging(level="info", log_format=log_format, redactor=redactor)
    ours, theirs = get_logger("ours"), logging.getLogger("theirs")
    ours.info(f"text {PLANTED}", value=PLANTED, nested={"in": [PLANTED]}, error=ValueError(PLANTED))
    theirs.warning("text %s %r", PLANTED, {"in": PLANTED})
    for logger in (ours, theirs):
        try:
            fail()
        except ValueError:
            logger.exception("failed")
    shown = capsys.readouterr().err
    assert shown.count("[hidden]") >= 8
    assert "planted" not in shown


def test_a_line_is_a_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", log_format="json", redactor=Redactor())
    get_logger("here").info("step.done", operation=7)
    logging.getLogger("there").warning("twice\nover")
    ours, theirs = map(json.loads, capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["operation"], ours["logger"], ours["level"]) == ("step.done", 7, "here", "info")
    assert ours["timestamp"].endswith("Z")
    assert (theirs["event"], theirs["level"]) == ("twice\nover", "warning")


def test_the_level_holds_and_talkative_libraries_are_quieter(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", log_format="json", redactor=Redactor())
    get_logger("here").debug("hidden")
    logging.getLogger("httpx").info("hidden")
    assert capsys.readouterr().err == ""


def test_a_database_that_restarts_is_told_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", log_format="console", redactor=Redactor())
    try:
        raise psycopg.OperationalError("the connection is closed")
    except psycopg.OperationalError:
        logging.getLogger("procrastinate").exception("could not fetch a job")
    assert len(capsys.readouterr().err.splitlines()) == 1
