"""What an answer means: its body decides, not its status."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaret.adapters.time4vps.refusals import DEFAULT_WAIT_S, LONGEST_WAIT_S, SHOWN, refusal, shown
from lazaret.servers.provider import (
    ProviderAddressNotAllowed,
    ProviderBusy,
    ProviderError,
    ProviderLoginRefused,
    ProviderRefused,
    ProviderTaskUnknown,
    ProviderThrottled,
    ProviderUnavailable,
)

WAIT = "wait_x_between_action"


@pytest.mark.parametrize("status", [200, 401, 403, 500])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (["wronglogin", "unauthorized"], ProviderLoginRefused),
        (["unauthorized"], ProviderLoginRefused),
        ("unauthorized", ProviderLoginRefused),
        (["accountlocked", "unauthorized"], ProviderLoginRefused),
        (["ipnotallowed", "unauthorized"], ProviderAddressNotAllowed),
        ([["ipnotallowed", "198.51.100.7"], "unauthorized"], ProviderAddressNotAllowed),
        ([[WAIT, 24], "unauthorized"], ProviderThrottled),
        ([WAIT], ProviderThrottled),
        (["Invalid task ID"], ProviderTaskUnknown),
        ("Invalid task ID", ProviderTaskUnknown),
        (["Server is busy"], ProviderBusy),
        (["Another task is in progress"], ProviderBusy),
    ],
)
def test_words_decide_whatever_the_status(status, error, kind):
    assert type(refusal(status, {"error": error})) is kind


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"error": ["Bad os"]}, ProviderRefused),
        (422, {"error": [["invalid_param", "os"]]}, ProviderRefused),
        (200, {"error": True}, ProviderRefused),
        (500, {"error": ["Internal"]}, ProviderUnavailable),
        (502, None, ProviderUnavailable),
        (301, None, ProviderUnavailable),
        (403, None, ProviderUnavailable),
        (200, None, ProviderUnavailable),
        (401, None, ProviderLoginRefused),
        (404, None, ProviderRefused),
        (429, None, ProviderThrottled),
    ],
)
def test_the_status_decides_where_there_are_no_words(status, body, kind):
    assert type(refusal(status, body)) is kind


@pytest.mark.parametrize("body", [{"task_id": 1}, [], {}, {"error": None, "ip": "x"}, {"error": []}, {"error": ""}])
def test_good_answers(body):
    assert refusal(200, body) is None


@pytest.mark.parametrize(
    ("error", "wait_s"),
    [
        ([[WAIT, 24], "unauthorized"], 24),
        ([[WAIT, "24"]], 24),
        ([[WAIT, 24.5]], 24.5),
        ([WAIT, -3], 1),
        ([WAIT, 10**30], LONGEST_WAIT_S),
        ([WAIT, float("nan")], LONGEST_WAIT_S),
        ([WAIT, float("inf")], LONGEST_WAIT_S),
        ([WAIT], DEFAULT_WAIT_S),
        ([WAIT, "soon"], DEFAULT_WAIT_S),
        ([{"key": WAIT, "args": [7]}], 7),
    ],
)
def test_the_seconds_of_a_throttle(error, wait_s):
    refused = refusal(401, {"error": error})
    assert isinstance(refused, ProviderThrottled)
    assert refused.wait_s == wait_s


def test_of_an_error_page_only_the_title_is_told():
    page = "<html><head><title>502  Bad\nGateway</title></head><body>" + "secret-body " * 9999
    assert str(refusal(502, None, page)) == "The provider answered with status 502: 502 Bad Gateway."


def test_messages_are_short():
    refused = refusal(200, {"error": ["no " * 5000]})
    assert refused is not None and len(refused.message) < SHOWN + 50


@pytest.mark.parametrize(
    "text",
    [
        "cannot set s3<b>cr</b>et now",
        "cannot set s3&lt;b&gt;cr&lt;/b&gt;et now",
        "cannot set s3%3Cb%3Ecr%3C%2Fb%3Eet now",
        "Password: s3<b>cr</b>et",
        "Authorization: Basic s3<b>cr</b>et",
    ],
)
def test_what_may_be_shown_holds_no_secret(text):
    told = shown(text, ["s3<b>cr</b>et"])
    assert "cr" not in told.replace("[hidden]", "") and "[hidden]" in told


def test_an_unknown_password_after_its_label_is_hidden():
    assert shown("Failed. Password: q7VtHs29Lm") == "Failed. Password [hidden]"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)


@given(status=st.integers(100, 599), error=JSON, text=st.text(max_size=200))
def test_no_answer_makes_it_raise(status, error, text):
    for body in ({"error": error}, error, None):
        refused = refusal(status, body, text, ["planted"])
        assert refused is None or isinstance(refused, ProviderError)
        assert "planted" not in str(refused)
    if error not in (None, False, 0, 0.0, "", [], {}):
        assert refusal(status, {"error": error}) is not None


def test_very_deep_errors_end():
    assert isinstance(refusal(200, {"error": json.loads("[" * 500 + "]" * 500)}), ProviderRefused)
