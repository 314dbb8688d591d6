from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from market_pulse.contract import Bar, Reason, encode
from market_pulse_stream.decode import BAR_COLUMNS, Record, bar_row, copy_line, decode

_NOON = datetime(2026, 5, 15, 12, tzinfo=UTC)
_BAR = Bar(
    v=1,
    source="test",
    request_id="r1",
    symbol="IBM",
    interval="1min",
    bar_time=_NOON,
    open="10",
    high="12",
    low="9.50",
    close="11",
    volume="7",
    is_final=True,
    fetched_at=_NOON,
)


def test_bars_and_rejects_are_parted_and_none_is_lost() -> None:
    records = [Record(4, b"IBM", encode(_BAR)), Record(5, b"IBM", b"junk"), Record(6, b"IBM", None)]
    bars, rejected = decode(records)
    assert bars == [_BAR]
    assert [(item.record.offset, item.rejection.reason) for item in rejected] == [
        (5, Reason.NOT_JSON),
        (6, Reason.TOMBSTONE),
    ]


def test_a_row_has_every_field_of_the_contract_but_the_version() -> None:
    assert set(BAR_COLUMNS) == {field.name for field in msgspec.structs.fields(Bar)} - {"v"}
    row = dict(zip(BAR_COLUMNS, bar_row(_BAR), strict=True))
    assert (row["low"], row["bar_time"], row["is_final"]) == ("9.50", "2026-05-15T12:00:00+00:00", True)


def test_null_bytes_and_separators_are_told_apart() -> None:
    assert copy_line([None, "\\N", "a\tb\n", b"\x00\xff", 7, True]) == "\\N\t\\\\N\ta\\tb\\n\t\\\\x00ff\t7\tTrue\n"


@given(st.lists(st.text(st.characters()), min_size=1, max_size=4))
def test_no_text_can_break_out_of_its_field(fields: list[str]) -> None:
    line = copy_line(fields)
    line.encode()
    assert line.count("\t") == len(fields) - 1
    assert line.count("\n") == 1
    assert "\0" not in line
