"""The wire form of bars and answers, and the rule that a record breaks, by its name."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from market_pulse.contract import MAX_MESSAGE_BYTES, Interval, Reason, Rejection, decode, encode, first_violation
from support.good_records import ANSWER, GOOD, wire, with_fields


def test_a_good_bar_survives_the_wire_digit_for_digit() -> None:
    assert decode(b"BRK.B", encode(GOOD)) == GOOD


def test_the_wire_form_is_pinned() -> None:
    assert encode(GOOD) == (
        b'{"v":1,"source":"alphavantage","request_id":"0190a3b2","symbol":"BRK.B","interval":"5min",'
        b'"bar_time":"2026-05-15T23:55:00Z","open":"219.0300","high":"219.0300","low":"219.0000","close":"219.0000",'
        b'"volume":"158","is_final":true,"fetched_at":"2026-05-17T00:00:00Z"}'
    )


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"v": 2}, Reason.UNKNOWN_VERSION),
        ({"source": "a b"}, Reason.BAD_PROVENANCE),
        ({"request_id": ""}, Reason.BAD_PROVENANCE),
        ({"symbol": "ibm"}, Reason.BAD_SYMBOL),
        ({"symbol": "=cmd|' /C calc'!A0"}, Reason.BAD_SYMBOL),
        ({"symbol": "../../etc"}, Reason.BAD_SYMBOL),
        ({"symbol": "A" * 16}, Reason.BAD_SYMBOL),
        ({"interval": "2min"}, Reason.BAD_INTERVAL),
        ({"bar_time": datetime(2026, 5, 15, 23, 55)}, Reason.BAD_TIME),  # noqa: DTZ001 - a naive time is the case
        ({"bar_time": GOOD.bar_time.astimezone(timezone(timedelta(hours=16)))}, Reason.BAD_TIME),
        ({"fetched_at": GOOD.fetched_at.astimezone(timezone(timedelta(minutes=-1)))}, Reason.BAD_TIME),
        ({"bar_time": datetime(1969, 12, 31, tzinfo=UTC)}, Reason.BAD_TIME),
        ({"bar_time": datetime(1970, 1, 1, tzinfo=UTC)}, Reason.BAD_TIME),
        ({"bar_time": datetime(1970, 1, 21, 10, 53, 45, tzinfo=UTC)}, Reason.BAD_TIME),
        ({"bar_time": datetime(9999, 12, 31, 23, 59, tzinfo=UTC)}, Reason.FUTURE_BAR),
        ({"bar_time": GOOD.fetched_at + timedelta(seconds=5, microseconds=1)}, Reason.FUTURE_BAR),
        ({"open": "1,234.5"}, Reason.BAD_PRICE),
        ({"open": "1e5"}, Reason.BAD_PRICE),
        ({"high": "Infinity"}, Reason.BAD_PRICE),
        ({"low": "-1"}, Reason.BAD_PRICE),
        ({"close": "None"}, Reason.BAD_PRICE),
        ({"close": "\u0661.0"}, Reason.BAD_PRICE),
        ({"low": "0.0000"}, Reason.PRICE_NOT_POSITIVE),
        ({"high": "218.9999"}, Reason.HIGH_BELOW_LOW),
        ({"open": "219.0301"}, Reason.OPEN_OUTSIDE_RANGE),
        ({"close": "218.9999"}, Reason.CLOSE_OUTSIDE_RANGE),
        ({"volume": "-1"}, Reason.BAD_VOLUME),
        ({"volume": "1.5"}, Reason.BAD_VOLUME),
        ({"volume": str(2**63)}, Reason.BAD_VOLUME),
    ],
)
def test_a_broken_rule_is_named(changed: dict[str, Any], reason: Reason) -> None:
    bar = with_fields(**changed)
    violation = first_violation(bar)
    assert violation is not None
    assert violation.reason is reason
    assert decode(bar.symbol.encode(), encode(bar)) == violation


@pytest.mark.parametrize(
    ("volume", "price"), [("0", "0.0001"), (str(2**53 + 1), "700000.0000"), (str(2**63 - 1), "999999999999.99999999")]
)
def test_extreme_but_possible_values_pass(volume: str, price: str) -> None:
    assert first_violation(with_fields(open=price, high=price, low=price, close=price, volume=volume)) is None


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (b"BRK.B", None, Reason.TOMBSTONE),
        (b"BRK.B", b"", Reason.NOT_JSON),
        (b"BRK.B", b"not json", Reason.NOT_JSON),
        (b"BRK.B", b"\xff\xfe\x00", Reason.NOT_JSON),
        (b"BRK.B", b'{"v":"\xff"}', Reason.NOT_JSON),
        (b"BRK.B", b'{"\xff":1,"v":1}', Reason.NOT_JSON),
        (b"BRK.B", b"null", Reason.WRONG_TYPE),
        (b"BRK.B", b"[" * 1000, Reason.WRONG_TYPE),
        (b"BRK.B", b" " * (MAX_MESSAGE_BYTES + 1), Reason.TOO_LARGE),
        (b"BRK.B", wire(close=...), Reason.MISSING_FIELD),
        (b"BRK.B", wire(v=...), Reason.MISSING_FIELD),
        (b"BRK.B", wire(v=7, close=...), Reason.UNKNOWN_VERSION),
        (b"BRK.B", wire(close=219.0), Reason.WRONG_TYPE),
        (b"BRK.B", wire(is_final="true"), Reason.WRONG_TYPE),
        (b"BRK.B", wire(bar_time="2026-02-30T00:00:00Z"), Reason.WRONG_TYPE),
        (b"BRK.B", wire(bar_time="57970-01-21T00:00:00Z"), Reason.WRONG_TYPE),
        (b"BRK.B", wire(bar_time=1779000900), Reason.WRONG_TYPE),
        (b"BRK.B", wire(bar_time=1779000900000), Reason.WRONG_TYPE),
        (b"BRK.B", wire(bar_time=None), Reason.WRONG_TYPE),
        (b"BRK.B", wire(high=None), Reason.WRONG_TYPE),
        (b"BRK.B", wire(volume=float(2**53)), Reason.WRONG_TYPE),
        (b"BRK.B", b"[" * 100_000, Reason.TOO_LARGE),
        (b"BRK.B", b"x" * 5_000_000, Reason.TOO_LARGE),
        (b"BRK.B", wire()[:-1] + b',"x":' + b'{"x":' * 120, Reason.NOT_JSON),
        (b"BRK.B", wire()[:-1] + b',"x":NaN}', Reason.NOT_JSON),
        (b"BRK.B", wire(source="X").replace(b"X", b"\\ud800"), Reason.NOT_JSON),
        (b"BRK.B", wire(source="X").replace(b"X", b"\\ud800\\u0041"), Reason.NOT_JSON),
        (b"BRK.B", wire() + b"\x00", Reason.NOT_JSON),
        (b"\xef\xbb\xbfBRK.B", wire(), Reason.KEY_MISMATCH),
        (b"BRK\x00B", wire(symbol="BRK\0B"), Reason.BAD_SYMBOL),
        (b"BRK.B", wire(v=1.5), Reason.UNKNOWN_VERSION),
        (b"BRK.B", wire(v=True), Reason.UNKNOWN_VERSION),
        (b"BRK.B", wire(v=0), Reason.UNKNOWN_VERSION),
        (b"BRK.B", wire(close=..., last="219.0000"), Reason.MISSING_FIELD),
        (b"BRK.A", wire(), Reason.KEY_MISMATCH),
        (None, wire(), Reason.KEY_MISMATCH),
    ],
)
def test_a_record_that_is_no_bar_is_refused_with_its_reason(
    key: bytes | None, value: bytes | None, reason: Reason
) -> None:
    rejection = decode(key, value)
    assert isinstance(rejection, Rejection)
    assert rejection.reason is reason
    assert 0 < len(rejection.detail) < 400


def test_no_sentence_grows_with_what_somebody_else_wrote() -> None:
    rejection = decode(b"x" * 1_000_000, wire())
    assert isinstance(rejection, Rejection)
    assert len(rejection.detail) < 400


def test_an_unknown_field_is_tolerated() -> None:
    assert decode(b"BRK.B", wire(halted=False)) == GOOD


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"covers_until": None}, Reason.BAD_ANSWER),
        ({"covers_until": ANSWER.covers_from - timedelta(minutes=1)}, Reason.BAD_ANSWER),
        ({"covers_from": datetime(1970, 1, 1, tzinfo=UTC)}, Reason.BAD_TIME),
        ({"asked_at": datetime(2026, 5, 17)}, Reason.BAD_TIME),  # noqa: DTZ001 - a naive time is the case
        ({"month": "2026-13"}, Reason.BAD_ANSWER),
        ({"sha256": "0" * 63}, Reason.BAD_ANSWER),
        ({"told": -1}, Reason.BAD_ANSWER),
        ({"rows": 2**31}, Reason.BAD_ANSWER),
        ({"refusal": "two words"}, Reason.BAD_PROVENANCE),
        ({"symbol": "ibm"}, Reason.BAD_SYMBOL),
        ({"v": 2}, Reason.UNKNOWN_VERSION),
    ],
)
def test_a_rule_for_answers_that_is_broken_is_named(changed: dict[str, Any], reason: Reason) -> None:
    answer = msgspec.structs.replace(ANSWER, **changed)
    violation = first_violation(answer)
    assert violation is not None
    assert violation.reason is reason
    assert decode(answer.symbol.encode(), encode(answer)) == violation


def test_an_answer_survives_the_wire() -> None:
    assert decode(b"BRK.B", encode(ANSWER)) == ANSWER
    assert len(encode(ANSWER)) <= MAX_MESSAGE_BYTES


def test_every_interval_knows_its_length() -> None:
    assert {interval: interval.length for interval in Interval} == {
        "1min": timedelta(minutes=1),
        "5min": timedelta(minutes=5),
        "15min": timedelta(minutes=15),
        "30min": timedelta(minutes=30),
        "60min": timedelta(hours=1),
        "daily": timedelta(days=1),
    }
