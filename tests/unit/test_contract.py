from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_pulse.contract import (
    MAX_MESSAGE_BYTES,
    AnswerRecord,
    Bar,
    Interval,
    Reason,
    Rejection,
    decode,
    encode,
    first_violation,
)

GOOD = Bar(
    v=1,
    source="alphavantage",
    request_id="0190a3b2",
    symbol="BRK.B",
    interval="5min",
    bar_time=datetime(2026, 5, 15, 23, 55, tzinfo=UTC),
    open="219.0300",
    high="219.0300",
    low="219.0000",
    close="219.0000",
    volume="158",
    is_final=True,
    fetched_at=datetime(2026, 5, 17, tzinfo=UTC),
)


ANSWER = AnswerRecord(
    v=1,
    source="alphavantage",
    request_id="0190a3b2",
    cause="poll",
    function="TIME_SERIES_INTRADAY",
    symbol="BRK.B",
    interval="5min",
    month=None,
    asked_at=datetime(2026, 5, 17, tzinfo=UTC),
    fetched_at=datetime(2026, 5, 17, 0, 0, 1, tzinfo=UTC),
    refusal=None,
    sha256="0" * 64,
    rows=100,
    told=1,
    unusable=0,
    covers_from=datetime(2026, 5, 15, tzinfo=UTC),
    covers_until=datetime(2026, 5, 16, tzinfo=UTC),
)


def with_fields(**changed: Any) -> Bar:
    return msgspec.structs.replace(GOOD, **changed)


def wire(**changed: Any) -> bytes:
    document = msgspec.json.decode(encode(GOOD))
    return msgspec.json.encode({name: value for name, value in (document | changed).items() if value is not ...})


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


def test_a_telling_from_the_future_is_refused_for_it_would_stand_against_every_later_one() -> None:
    for late in (datetime(9999, 12, 31, tzinfo=UTC), GOOD.fetched_at + timedelta(seconds=61)):
        rejection = decode(b"BRK.B", encode(with_fields(fetched_at=late)), GOOD.fetched_at)
        assert isinstance(rejection, Rejection)
        assert rejection.reason is Reason.FUTURE_TELLING
    answer = decode(b"BRK.B", encode(ANSWER), ANSWER.fetched_at - timedelta(hours=1))
    assert isinstance(answer, Rejection)


def test_clocks_of_two_hosts_may_differ_by_seconds() -> None:
    late = with_fields(fetched_at=GOOD.fetched_at + timedelta(seconds=5))
    assert decode(b"BRK.B", encode(late), GOOD.fetched_at) == late
    ahead = with_fields(bar_time=GOOD.fetched_at + timedelta(seconds=5))
    assert decode(b"BRK.B", encode(ahead), GOOD.fetched_at) == ahead


def test_at_a_replay_the_future_is_what_lies_ahead_of_the_replay() -> None:
    hour = timedelta(hours=1)
    early = with_fields(bar_time=GOOD.fetched_at + hour)
    late = with_fields(fetched_at=GOOD.fetched_at + hour)
    for told, reason in ((early, Reason.FUTURE_BAR), (late, Reason.FUTURE_TELLING)):
        for replayed_at in (None, GOOD.fetched_at + hour / 2):
            refused = decode(b"BRK.B", encode(told), GOOD.fetched_at, replayed_at)
            assert isinstance(refused, Rejection)
            assert refused.reason is reason
        assert decode(b"BRK.B", encode(told), GOOD.fetched_at, GOOD.fetched_at + hour) == told
    # That it came onto the topic late makes no bar true that was told before it began.
    assert decode(b"BRK.B", encode(early), GOOD.fetched_at + hour) != early


def test_the_last_minute_of_the_calendar_is_a_time_like_any_other() -> None:
    assert decode(b"BRK.B", wire(), datetime.max.replace(tzinfo=UTC)) == GOOD


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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def mangled(record: Bar | AnswerRecord) -> st.SearchStrategy[bytes]:
    """Return the record with any of its fields set to any JSON."""
    names = st.sampled_from(list(record.__struct_fields__))
    return st.dictionaries(names, JSON, max_size=13).map(
        lambda changed: msgspec.json.encode(msgspec.json.decode(encode(record)) | changed)
    )


MANGLED_BARS, MANGLED_ANSWERS = mangled(GOOD), mangled(ANSWER)


@st.composite
def corrupted_records(draw: st.DrawFn) -> bytes:
    value = bytearray(encode(draw(st.sampled_from([GOOD, ANSWER, with_fields(v=2)]))))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(value)))
        value[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(value)


@settings(deadline=None, max_examples=250)
@given(
    value=st.binary(max_size=2000) | MANGLED_BARS | MANGLED_ANSWERS | corrupted_records(),
    key=st.sampled_from([None, b"BRK.B"]) | st.binary(max_size=20),
    appended_at=st.none() | st.datetimes(timezones=st.just(UTC), max_value=datetime(9999, 1, 1)),  # noqa: DTZ001
)
def test_any_bytes_are_a_bar_an_answer_or_a_rejection(
    key: bytes | None, value: bytes, appended_at: datetime | None
) -> None:
    found = decode(key, value, appended_at)
    assert isinstance(found, Bar | AnswerRecord | Rejection)
    if not isinstance(found, Rejection):
        assert first_violation(found) is None


def test_every_interval_knows_its_length() -> None:
    assert {interval: interval.length for interval in Interval} == {
        "1min": timedelta(minutes=1),
        "5min": timedelta(minutes=5),
        "15min": timedelta(minutes=15),
        "30min": timedelta(minutes=30),
        "60min": timedelta(hours=1),
        "daily": timedelta(days=1),
    }
