"""The usual records, told all at once, are what each of them is one by one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import event, given, settings
from hypothesis import strategies as st

from market_pulse.contract import Bar, decode, encode
from market_pulse_stream.arrow import columns, rows
from market_pulse_stream.decode import BAR_COLUMNS, Record, bar_line
from market_pulse_stream.usual import usual
from support.any_records import VALUES
from support.good_records import ANSWER, GOOD, wire, with_fields

# What was told so much later than its record came is still believed.
_EARLIEST = GOOD.fetched_at - timedelta(minutes=1)
_WORDS = st.sampled_from(
    ["", " ", "IBM", "IBM simulator", "BRK.B", "r-1", "1min", "0", "1", "1.50", "1.5 1.5", "-1", "NaN"]
)
_PRICES = st.sampled_from(["0", "0.00", "1", "1.0", "1.50", "1.500", "2", "1e0", "9" * 12, "9" * 13, "٣", "1\n"])
_TIMES = st.sampled_from(
    [
        GOOD.bar_time,
        GOOD.fetched_at,
        GOOD.fetched_at.replace(tzinfo=None),
        GOOD.bar_time.astimezone(timezone(timedelta(hours=1))),
        datetime(1970, 12, 31, tzinfo=UTC),
        GOOD.fetched_at + timedelta(days=1),
    ]
)


@settings(deadline=None, max_examples=2_000)
@given(
    words=st.dictionaries(st.sampled_from(["symbol", "source", "request_id", "interval"]), _WORDS, max_size=2),
    prices=st.just({}) | st.fixed_dictionaries(dict.fromkeys(("open", "high", "low", "close"), _PRICES)),
    others=st.fixed_dictionaries(
        {},
        optional={
            "v": st.integers(0, 2),
            "volume": st.sampled_from(["0", "", "-1", "1.5", str(2**63 - 1), str(2**63), "9" * 20]) | _WORDS,
            "bar_time": _TIMES,
            "fetched_at": _TIMES,
        },
    ),
    appended_at=st.none()
    | st.sampled_from([GOOD.fetched_at - timedelta(seconds=60, milliseconds=lead) for lead in (0, 1)]),
)
def test_what_the_producer_writes_is_usual_if_it_is_sound_and_only_then(
    words: dict[str, str], prices: dict[str, str], others: dict[str, object], appended_at: datetime | None
) -> None:
    bar = with_fields(**words, **prices, **others)
    record = Record(7, bar.symbol.encode(), encode(bar), appended_at)
    is_sound = _bar(record) is not None
    event(f"sound: {is_sound}")
    assert _usual([record]) == [record] * is_sound


@settings(deadline=None, max_examples=500)
@given(
    values=st.lists(VALUES | st.none() | st.sampled_from([encode(GOOD), encode(ANSWER)]), max_size=8),
    keys=st.lists(st.sampled_from([None, b"BRK.B", b"IBM"]), min_size=8, max_size=8),
)
def test_whatever_is_called_usual_is_a_sound_bar_and_the_rest_is_given_back(
    values: list[bytes | None], keys: list[bytes | None]
) -> None:
    told = [
        Record(offset, key, value, GOOD.fetched_at)
        for offset, (key, value) in enumerate(zip(keys, values, strict=False), 3)
    ]
    assert all(map(_bar, _usual(told)))


def test_answers_and_what_is_no_bar_do_not_keep_bars_from_being_usual() -> None:
    no_bars = [encode(ANSWER), b"junk", None, b"", b'"' * 48, wire(is_final=None), wire(is_final=1), wire(v=None)]
    values = [encode(GOOD), *no_bars, encode(with_fields(volume="9"))]
    told = [Record(offset, b"BRK.B", value) for offset, value in enumerate(values)]
    assert [record.offset for record in _usual(told)] == [0, len(values) - 1]


def test_a_time_that_does_not_exist_and_a_volume_beyond_all_leave_every_record_to_be_looked_at() -> None:
    leap = encode(with_fields(bar_time=datetime(2024, 2, 29, tzinfo=UTC)))
    for wrong in (leap.replace(b"2024-02-29", b"2026-02-29"), encode(with_fields(volume=str(2**63)))):
        assert _usual([Record(0, b"BRK.B", encode(GOOD)), Record(1, b"BRK.B", wrong)]) == []
    assert len(_usual([Record(0, b"BRK.B", leap)])) == 1


def test_a_few_are_looked_at_one_by_one() -> None:
    told = columns([Record(offset, b"BRK.B", encode(GOOD)) for offset in range(3)])
    assert usual(told, 0, few=3).others == told
    assert usual(told, 0, few=2).bars.count == 3


def _usual(told: Sequence[Record]) -> list[Record]:
    """Return which records are usual, after a look at their lines and at the others."""
    bars, others = usual(columns(told), 5, few=0)
    rest = rows(others)
    found = [record for record in told if record not in rest]
    assert [record for record in told if record in rest] == rest
    assert bars.count == len(found)
    assert list(map(_plain, bars.text.decode().splitlines())) == [
        _plain(bar_line(bar, 5, record.offset).rstrip("\n")) for record in found if (bar := _bar(record))
    ]
    return found


def _bar(record: Record) -> Bar | None:
    found = decode(record.key, record.value, record.appended_at)
    return found if isinstance(found, Bar) else None


def _plain(line: str) -> list[object]:
    """Return a line's fields without what PostgreSQL reads in several ways."""
    told = dict(zip([*BAR_COLUMNS, "partition", "offset"], line.split("\t"), strict=True))
    times = {name: datetime.fromisoformat(told[name]) for name in ("bar_time", "fetched_at")}
    return [*(told | times | {"is_final": told["is_final"].lower()[0]}).values()]
