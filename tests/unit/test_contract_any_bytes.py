"""Whatever bytes a record has, decoding says what it is and raises nothing."""

from datetime import UTC, datetime

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from market_pulse.contract import AnswerRecord, Bar, Rejection, decode, encode, first_violation
from support.good_records import ANSWER, GOOD, with_fields

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
