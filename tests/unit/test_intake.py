"""What becomes of answers and refusals: archived first, then told."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from market_pulse import contract
from market_pulse.contract import AnswerRecord, Bar, Cause, Interval
from market_pulse.producer.intake import Intake
from market_pulse.sources.base import Refusal, RefusedError, Request
from support.intake import DAILY, DECEMBER, IBM, MINUTE, NOW, QUOTE, answer, at, bars, intake_in, minutes, told

HOURLY = replace(IBM, interval=Interval.SIXTY_MINUTES)
SHORT = replace(DECEMBER, full=False)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Intake]:
    def build(**options: Any) -> Intake:
        return intake_in(tmp_path, **options)

    return build


@pytest.fixture
def intake(make: Callable[..., Intake]) -> Intake:
    return make()


def test_an_answer_is_archived_and_its_bars_and_record_are_told(intake: Intake) -> None:
    first = answer(IBM, NOW, minutes(100))
    taken = intake.take(first, Cause.POLL)
    *new, record = told(intake)
    assert len(new) == 100
    assert record == AnswerRecord(
        v=1,
        source="simulator",
        request_id="r",
        cause="poll",
        function="TIME_SERIES_INTRADAY",
        symbol="IBM",
        interval="1min",
        month=None,
        asked_at=NOW,
        fetched_at=NOW + timedelta(seconds=1),
        refusal=None,
        sha256=hashlib.sha256(first.body).hexdigest(),
        rows=100,
        told=100,
        unusable=0,
        covers_from=at("2026-01-05 09:21"),
        # 10:59 ended at 11:00:00 and was given five seconds; 11:00 is forming.
        covers_until=at("2026-01-05 11:00"),
    )
    newest = at("2026-01-05 11:00")
    assert (taken.told, taken.newest, taken.covers, taken.gap) == (
        100,
        newest,
        (record.covers_from, record.covers_until),
        None,
    )
    assert [bar.is_final for bar in new if isinstance(bar, Bar)] == [True] * 99 + [False]
    kept = intake.archive.find("r")
    assert kept is not None
    assert (kept.body, kept.request, kept.cause, kept.sha256) == (first.body, IBM, Cause.POLL, record.sha256)


def test_the_next_answer_tells_only_what_is_new(intake: Intake) -> None:
    intake.take(answer(IBM, NOW, minutes(100)), Cause.POLL)
    told(intake)
    taken = intake.take(answer(IBM, NOW + MINUTE, minutes(100, NOW + MINUTE), name="s"), Cause.POLL)
    *new, record = told(intake)
    assert [(bar.bar_time, bar.is_final) for bar in new if isinstance(bar, Bar)] == [
        (at("2026-01-05 11:00"), True),
        (at("2026-01-05 11:01"), False),
    ]
    assert isinstance(record, AnswerRecord)
    assert (record.rows, record.told, taken.told, taken.gap) == (100, 2, 2, None)


def test_a_short_answer_after_a_gap_is_taken_at_once_and_the_gap_is_told(intake: Intake) -> None:
    intake.take(answer(IBM, NOW, minutes(100)), Cause.POLL)
    later = NOW + 300 * MINUTE
    taken = intake.take(answer(IBM, later, minutes(100, later)), Cause.POLL)
    assert taken.told == 100
    # The newest bar of before was forming, and may be the last that anybody told of it.
    gap = (at("2026-01-05 11:00"), at("2026-01-05 14:21"))
    assert taken.gap == gap
    # The repair tells the gap and nothing else, and no poll looks for it again.
    told(intake)
    january = replace(IBM, full=True, month="2026-01")
    repaired = intake.take(answer(january, later + MINUTE, minutes(400, later)), Cause.REPAIR, gap)
    assert (repaired.told, repaired.covers, repaired.gap) == (201, gap, None)
    assert {bar.bar_time for bar in bars(intake)} == {gap[0] + n * MINUTE for n in range(201)}
    after = intake.take(answer(IBM, later + 2 * MINUTE, minutes(100, later + 2 * MINUTE)), Cause.POLL)
    assert (after.told, after.gap) == (3, None)


def _frozen(intake: Intake, asked_at: datetime, name: str) -> list[Bar]:
    """Return what is told of the answer that the vendor has frozen."""
    intake.take(answer(IBM, asked_at, minutes(100), name=name), Cause.POLL)
    return bars(intake)


def test_a_vendor_that_froze_in_the_middle_of_a_bar_does_not_make_it_final(intake: Intake) -> None:
    assert _frozen(intake, NOW, "a")[-1].is_final is False
    assert _frozen(intake, NOW + MINUTE, "b") == []
    assert _frozen(intake, NOW + 100 * MINUTE, "c") == []
    # What is back asks for that bar, too.
    later = NOW + 300 * MINUTE
    taken = intake.take(answer(IBM, later, minutes(100, later), name="d"), Cause.POLL)
    assert taken.gap == (at("2026-01-05 11:00"), at("2026-01-05 14:21"))


def test_the_last_bar_of_a_session_is_final_half_an_hour_after_it(intake: Intake) -> None:
    last = at("2026-01-05 15:59")
    told_at = [
        (asked_at, bar.is_final)
        for number, asked_at in enumerate(("15:59:06", "16:00:06", "16:29:59", "16:30:06"))
        for bar in (
            intake.take(answer(IBM, at(f"2026-01-05 {asked_at}"), minutes(3, last), name=f"r{number}"), Cause.POLL)
            and bars(intake)
        )
        if bar.bar_time == last
    ]
    assert told_at == [("15:59:06", False), ("16:30:06", True)]


def test_the_newest_bar_is_final_at_once_when_it_moved_on_or_changed(intake: Intake) -> None:
    intake.take(answer(IBM, NOW, minutes(3)), Cause.POLL)
    told(intake)
    changed = answer(IBM, NOW + MINUTE, minutes(1), close="1.5", name="s")
    intake.take(changed, Cause.POLL)
    assert [(bar.close, bar.is_final) for bar in bars(intake)] == [("1.5", True)]
    intake.take(answer(IBM, NOW + 3 * MINUTE, minutes(1, NOW + MINUTE), name="t"), Cause.POLL)
    assert [(bar.bar_time, bar.is_final) for bar in bars(intake)] == [(at("2026-01-05 11:01"), True)]


def test_where_nothing_traded_there_is_no_gap(intake: Intake) -> None:
    friday = at("2026-01-02 20:05")
    intake.take(answer(IBM, friday, minutes(100, at("2026-01-02 19:59"))), Cause.POLL)
    monday = at("2026-01-05 05:45:06")
    assert intake.take(answer(IBM, monday, minutes(100, at("2026-01-05 05:39"))), Cause.POLL).gap is None


def test_a_long_answer_tells_no_more_of_the_past_than_a_short_one(intake: Intake) -> None:
    intake.take(answer(IBM, NOW, minutes(100)), Cause.POLL)
    later = NOW + 150 * MINUTE
    taken = intake.take(answer(replace(IBM, full=True), later, minutes(400, later)), Cause.POLL)
    # The forming bar of before, and 150 more; it does not speak for what it does not tell.
    assert (taken.told, taken.gap) == (151, None)
    assert taken.covers == (at("2026-01-05 09:21"), at("2026-01-05 13:30"))


def test_a_part_is_told_of_an_answer_that_was_asked_for_a_part(intake: Intake) -> None:
    intake.take(answer(IBM, NOW, minutes(100)), Cause.POLL)
    told(intake)
    only = (at("2025-12-09 09:30"), at("2025-12-10 00:00"))
    month = [f"2025-12-{day:02} {hour:02}:30:00" for day in (8, 9, 10) for hour in range(9, 16)]
    taken = intake.take(answer(DECEMBER, NOW + MINUTE, month), Cause.BACKFILL, only)
    assert (taken.told, taken.covers, taken.gap) == (7, only, None)
    assert {bar.bar_time.date() for bar in bars(intake)} == {date(2025, 12, 9)}
    poll = intake.outbox.last_poll("IBM", "1min")
    assert poll is not None
    assert (poll.asked_at, poll.last_bar) == (NOW, at("2026-01-05 11:00"))
    # What polls tell is still known.
    assert intake.take(answer(IBM, NOW + 2 * MINUTE, minutes(100, NOW + MINUTE)), Cause.POLL).told == 2


@pytest.mark.parametrize(
    ("request_", "asked_at", "labels", "covers"),
    [
        # A month speaks from its first instant in the exchange's zone to its last, whatever bars it has.
        (DECEMBER, "2026-01-05 11:00:06", ["2025-12-09 10:00:00"], ("2025-12-01", "2026-01-01")),
        (DECEMBER, "2026-01-05 11:00:06", [], ("2025-12-01", "2026-01-01")),
        (DECEMBER, "2025-12-09 10:01:04", ["2025-12-09 09:59:00"], ("2025-12-01", "2025-12-09 10:00")),
        (SHORT, "2026-01-05 11:00:06", ["2025-12-09 10:00:00"], ("2025-12-09 10:00", "2026-01-01")),
        (replace(DECEMBER, month="2026-03"), "2026-04-05 11:00:06", [], ("2026-03-01", "2026-04-01")),
        (IBM, "2026-01-05 11:00:04", ["2026-01-05 10:59:00"], None),
        (IBM, "2026-01-05 11:00:05", ["2026-01-05 10:59:00"], ("2026-01-05 10:59", "2026-01-05 11:00")),
        (IBM, "2026-01-05 11:00:06", [], None),
        # No answer is longer than a month.
        (IBM, "2026-01-05 11:00:05", ["2024-12-31 10:59:00"], ("2025-12-05 11:00:05", "2026-01-05 11:00")),
        (HOURLY, "2026-01-05 12:00:05", ["2026-01-05 10:00:00"], ("2026-01-05 10:00", "2026-01-05 11:01")),
        # What lies before the calendar is a mistake, too.
        (IBM, "2026-01-05 11:00:05", ["1971-12-31 10:59:00"], None),
        # A day is complete half an hour after its close: a full one, a half one, and none at all.
        (DAILY, "2026-01-05 16:29:59", ["2026-01-05", "2026-01-02"], ("2026-01-02", "2026-01-05")),
        (DAILY, "2026-01-05 16:30:00", ["2026-01-05", "2026-01-02"], ("2026-01-02", "2026-01-06")),
        (DAILY, "2026-11-27 13:30:00", ["2026-11-25"], ("2026-11-25", "2026-11-28")),
        (DAILY, "2026-11-26 17:00:00", ["2026-11-25"], ("2026-11-25", "2026-11-26")),
        (DAILY, "2026-03-09 17:00:00", ["2026-03-06"], ("2026-03-06", "2026-03-10")),
        (QUOTE, "2026-01-05 12:00:00", ["2026-01-05"], None),
    ],
)  # fmt: skip
def test_an_answer_speaks_for_the_bars_that_it_could_hold(
    intake: Intake, request_: Request, asked_at: str, labels: list[str], covers: tuple[str, str] | None
) -> None:
    taken = intake.take(answer(request_, at(asked_at), labels), Cause.BACKFILL)
    assert taken.covers == (covers and tuple(map(at, covers)))
    record = told(intake)[-1]
    assert isinstance(record, AnswerRecord)
    assert (record.covers_from, record.covers_until) == (taken.covers or (None, None))


def test_late_data_are_complete_later(make: Callable[..., Intake]) -> None:
    intake = make(lag=timedelta(minutes=15))
    assert intake.take(answer(IBM, NOW, minutes(50, NOW - 15 * MINUTE)), Cause.POLL).covers == (
        at("2026-01-05 09:56"),
        at("2026-01-05 10:45"),
    )
    assert [bar.is_final for bar in bars(intake)] == [True] * 49 + [False]
    daily = answer(DAILY, at("2026-01-05 16:44"), ["2026-01-05"])
    assert intake.take(daily, Cause.POLL).covers is None
    assert [bar.is_final for bar in bars(intake)] == [False]


def test_a_quote_stands_in_for_a_day_only_until_the_day_is_complete(make: Callable[..., Intake]) -> None:
    intake = make(request=DAILY)
    intake.take(answer(DAILY, at("2025-12-31 16:30"), ["2025-12-31"]), Cause.POLL)
    told(intake)
    for time, count in (("12:00", 1), ("16:29", 1), ("16:30", 0), ("19:00", 0)):
        close = f"1.{time[-2:]}"
        taken = intake.take(answer(QUOTE, at(f"2026-01-05 {time}"), ["2026-01-05"], close), Cause.QUOTE)
        assert (taken.told, taken.covers, taken.gap) == (count, None, None)
    *quotes, _, _ = [thing for thing in told(intake) if isinstance(thing, Bar) or not thing.told]
    assert [(bar.is_final, bar.close) for bar in quotes if isinstance(bar, Bar)] == [(False, "1.00"), (False, "1.29")]
    # A quote is no poll: what daily answers have not told since is a gap, and no day is told as known.
    taken = intake.take(answer(DAILY, at("2026-01-05 19:01"), ["2026-01-05", "2025-12-31"]), Cause.POLL)
    assert [(bar.is_final, bar.close) for bar in bars(intake)] == [(True, "2")]
    assert taken.gap is None


def test_a_day_that_daily_answers_never_told_is_a_gap(make: Callable[..., Intake]) -> None:
    intake = make(request=DAILY)
    intake.take(answer(DAILY, at("2026-03-06 17:00"), ["2026-03-06"]), Cause.POLL)
    taken = intake.take(answer(DAILY, at("2026-03-11 17:00"), ["2026-03-11"]), Cause.POLL)
    # Over the clock change of 8 March, on which a day has 23 hours.
    assert taken.gap == (at("2026-03-07"), at("2026-03-11"))


def test_a_bar_of_the_future_is_told_for_the_quarantine_and_hides_no_gap(intake: Intake) -> None:
    labels = [*minutes(50), "2026-01-05 11:02:00", "9999-12-31 10:00:00"]
    taken = intake.take(answer(IBM, NOW, labels), Cause.POLL)
    waiting = intake.outbox.oldest(100)
    found = [contract.decode(message.symbol.encode(), message.value) for message in waiting]
    assert [thing.reason for thing in found if isinstance(thing, contract.Rejection)] == ["future_bar"] * 2
    assert (taken.newest, taken.told) == (at("2026-01-05 11:00"), 52)
    later = NOW + 300 * MINUTE
    assert intake.take(answer(IBM, later, minutes(100, later)), Cause.POLL).gap is not None


def test_an_answer_with_a_row_that_cannot_be_read_says_so_and_speaks_for_nothing(
    intake: Intake, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        labels = [*minutes(5, NOW + number * MINUTE), "2026-01-05 24:00:00"]
        taken = intake.take(answer(IBM, NOW + number * MINUTE, labels, name=f"r{number}"), Cause.POLL)
        record = told(intake)[-1]
        assert isinstance(record, AnswerRecord)
        assert (record.rows, record.unusable, taken.covers, record.covers_from) == (5, 1, None, None)
        kept = intake.archive.find(record.request_id)
        assert kept is not None
        assert b"24:00:00" in kept.body
    assert sum("bars unusable" in message for message in caplog.messages) == 1


def test_a_refusal_is_kept_with_what_arrived_and_recorded(intake: Intake) -> None:
    intake.refuse(IBM, Cause.POLL, NOW, RefusedError(Refusal.QUOTA, "no more", b'{"Information": "***"}'))
    intake.refuse(DECEMBER, Cause.REPAIR, NOW, RefusedError(Refusal.VENDOR_ERROR, "timeout"))
    intake.note_quota(IBM, Cause.POLL, NOW)
    records = told(intake)
    assert [
        (r.refusal, r.cause, r.month, r.sha256 and len(r.sha256)) for r in records if isinstance(r, AnswerRecord)
    ] == [
        ("quota", "poll", None, 64),
        ("vendor_error", "repair", "2025-12", None),
        ("quota", "poll", None, None),
    ]
    assert len({record.request_id for record in records}) == 3
    assert [(entry.refusal, entry.body) for entry in intake.archive.entries()] == [
        (Refusal.QUOTA, b'{"Information": "***"}'),
        (Refusal.VENDOR_ERROR, b""),
    ]


def test_tellings_of_a_series_are_ordered_even_when_the_clock_goes_back(make: Callable[..., Intake]) -> None:
    make().take(answer(IBM, NOW + timedelta(seconds=50), minutes(3, NOW)), Cause.POLL)
    intake = make()
    intake.take(answer(IBM, NOW, minutes(3), "1.5"), Cause.POLL)
    month = replace(IBM, full=True, month="2026-01")
    intake.take(answer(month, NOW, minutes(3), "1.25"), Cause.REPAIR, (NOW - MINUTE, NOW))
    moments = [bar.fetched_at for bar in bars(intake)]
    assert moments == sorted(moments)
    assert len(set(moments)) == 3


def test_what_a_clock_far_ahead_told_is_told_anew_at_its_right_time(make: Callable[..., Intake]) -> None:
    make().take(answer(IBM, NOW + timedelta(days=1), minutes(3, NOW)), Cause.POLL)
    told(make())
    intake = make()
    intake.take(answer(IBM, NOW, minutes(3), name="s"), Cause.POLL)
    again = bars(intake)
    assert [bar.is_final for bar in again] == [True, True, False]
    assert {bar.fetched_at for bar in again} == {NOW + timedelta(seconds=1)}
    # From then on only what is new.
    intake.take(answer(IBM, NOW + MINUTE, minutes(3, NOW + MINUTE), name="t"), Cause.POLL)
    assert len(bars(intake)) == 2
