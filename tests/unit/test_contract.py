from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_pulse.contract import MAX_MESSAGE_BYTES, Bar, Interval, Reason, Rejection, decode, encode, first_violation

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
        ({"bar_time": GOOD.fetched_at + timedelta(seconds=1)}, Reason.FUTURE_BAR),
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
    assert rejection.detail


def test_an_unknown_field_is_tolerated() -> None:
    assert decode(b"BRK.B", wire(halted=False)) == GOOD


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
MANGLED_BARS = st.dictionaries(st.sampled_from(list(Bar.__struct_fields__)), JSON, max_size=13).map(
    lambda changed: msgspec.json.encode(msgspec.json.decode(encode(GOOD)) | changed)
)


@st.composite
def corrupted_bars(draw: st.DrawFn) -> bytes:
    value = bytearray(wire(**draw(st.fixed_dictionaries({}, optional={"v": st.just("x"), "close": st.just(...)}))))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(value)))
        value[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(value)


@given(value=st.binary(max_size=2000) | MANGLED_BARS | corrupted_bars(), key=st.none() | st.binary(max_size=20))
def test_any_bytes_are_a_bar_or_a_rejection(key: bytes | None, value: bytes) -> None:
    assert isinstance(decode(key, value), Bar | Rejection)


def test_every_interval_knows_its_length() -> None:
    assert {interval: interval.length for interval in Interval} == {
        "1min": timedelta(minutes=1),
        "5min": timedelta(minutes=5),
        "15min": timedelta(minutes=15),
        "30min": timedelta(minutes=30),
        "60min": timedelta(hours=1),
        "daily": timedelta(days=1),
    }
