from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from market_pulse.contract import AnswerRecord, Bar, Reason, encode, first_violation
from market_pulse_stream.decode import ANSWER_COLUMNS, BAR_COLUMNS, Record, answer_row, bar_line, copy_line, decode

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


_ANSWER = AnswerRecord(
    v=1,
    source="test",
    request_id="r1",
    cause="poll",
    function="TIME_SERIES_INTRADAY",
    symbol="IBM",
    interval="1min",
    month=None,
    asked_at=_NOON,
    fetched_at=_NOON,
    refusal=None,
    sha256="0" * 64,
    rows=100,
    told=1,
    unusable=0,
    covers_from=_NOON,
    covers_until=None,
)


def test_bars_answers_and_rejects_are_parted_and_none_is_lost() -> None:
    whole = msgspec.structs.replace(_ANSWER, covers_until=_NOON)
    records = [
        Record(4, b"IBM", encode(_BAR)),
        Record(5, b"IBM", b"junk"),
        Record(6, b"IBM", None),
        Record(7, b"IBM", encode(whole)),
        Record(8, b"IBM", encode(_ANSWER)),
    ]
    decoded = decode(records)
    assert decoded.bars == [(records[0], _BAR)]
    assert decoded.answers == [whole]
    assert [(item.record.offset, item.rejection.reason) for item in decoded.rejected] == [
        (5, Reason.NOT_JSON),
        (6, Reason.TOMBSTONE),
        (8, Reason.BAD_ANSWER),
    ]


def test_an_answers_row_has_every_field_of_the_contract_but_version_and_kind() -> None:
    fields = {field.name for field in msgspec.structs.fields(AnswerRecord)} - {"v", "kind"}
    assert {name.replace("row_count", "rows") for name in ANSWER_COLUMNS} == fields
    row = dict(zip(ANSWER_COLUMNS, answer_row(_ANSWER), strict=True))
    assert (row["row_count"], row["covers_until"], row["asked_at"]) == (100, None, "2026-05-15T12:00:00+00:00")


def test_a_row_has_every_field_of_the_contract_but_the_version() -> None:
    assert set(BAR_COLUMNS) == {field.name for field in msgspec.structs.fields(Bar)} - {"v"}
    row = dict(zip([*BAR_COLUMNS, "partition", "offset"], bar_line(_BAR, 2, 7).rstrip("\n").split("\t"), strict=True))
    assert (row["low"], row["bar_time"], row["is_final"]) == ("9.50", "2026-05-15T12:00:00+00:00", "True")


@given(
    name=st.sampled_from([field.name for field in msgspec.structs.fields(Bar) if field.type is str]),
    place=st.integers(0, 3),
    letter=st.sampled_from("\t\n\r\\\0\x0b\u2028é1A") | st.characters(),
)
def test_no_text_of_a_bar_that_breaks_no_rule_can_break_out_of_its_field(name: str, place: int, letter: str) -> None:
    text = getattr(_BAR, name)
    bar = msgspec.structs.replace(_BAR, **{name: text[:place] + letter + text[place:]})
    if first_violation(bar) is None:
        values = [str(getattr(bar, column)).replace(" 12:", "T12:") for column in BAR_COLUMNS]
        assert bar_line(bar, 2, 7) == copy_line([*values, 2, 7])


def test_null_bytes_and_separators_are_told_apart() -> None:
    assert copy_line([None, "\\N", "a\tb\n", b"\x00\xff", 7, True]) == "\\N\t\\\\N\ta\\tb\\n\t\\\\x00ff\t7\tTrue\n"


@given(st.lists(st.text(st.characters()), min_size=1, max_size=4))
def test_no_text_can_break_out_of_its_field(fields: list[str]) -> None:
    line = copy_line(fields)
    line.encode()
    assert line.count("\t") == len(fields) - 1
    assert line.count("\n") == 1
    assert "\0" not in line
