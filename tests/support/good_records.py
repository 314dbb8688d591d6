"""A good bar and a good record of an answer, and the wire form of a bar that is changed."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from market_pulse.contract import AnswerRecord, Bar, encode

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
    """Return the JSON of a good bar with other values, and without those that are ``...``."""
    document = msgspec.json.decode(encode(GOOD))
    return msgspec.json.encode({name: value for name, value in (document | changed).items() if value is not ...})
