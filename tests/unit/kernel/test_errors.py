"""The tree of errors: every one has a code of its own, and an edge knows what to do with it."""

import importlib
import pkgutil

import pytest

import lazaret
from lazaret.entrypoints.api.problems import STATUS
from lazaret.kernel.errors import Category, LazaretError

ROOMS = ("kernel", "servers", "users", "operations", "incidents", "alerting", "provisioning", "adapters", "lab")


def all_errors() -> list[type[LazaretError]]:
    for room in ROOMS:
        for module in pkgutil.walk_packages([f"{lazaret.__path__[0]}/{room}"], f"lazaret.{room}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found, waiting = [], [LazaretError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += [child for child in kind.__subclasses__() if child.__module__.startswith("lazaret.")]
    return found


def test_codes_are_stable_names_and_belong_to_one_error() -> None:
    codes = [kind.code for kind in all_errors()]
    assert len(codes) > 25
    assert all(code.replace("_", "a").isalpha() and code.islower() for code in codes)
    assert sorted(codes) == sorted(set(codes))


def test_every_error_says_what_it_means() -> None:
    for kind in all_errors():
        assert (kind.__doc__ or "").strip().splitlines()[0].rstrip().endswith("."), kind
        assert isinstance(kind.category, Category)


def test_every_category_has_an_http_status() -> None:
    assert set(STATUS) == set(Category)


@pytest.mark.parametrize(("hint", "text"), [("", "It broke."), ("Mend it.", "It broke. Mend it.")])
def test_the_text_is_message_and_hint(hint: str, text: str) -> None:
    error = LazaretError("It broke.", hint=hint, handle="vps-1")
    assert str(error) == text
    assert error.details == {"handle": "vps-1"}
