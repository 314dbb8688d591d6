"""Whatever bytes a record has, decoding says what it is and raises nothing."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from market_pulse.contract import AnswerRecord, Bar, Rejection, decode, first_violation
from support.any_records import VALUES


@settings(deadline=None, max_examples=250)
@given(
    value=VALUES,
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
