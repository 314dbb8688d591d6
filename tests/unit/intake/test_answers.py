"""What becomes of answers and refusals: archived first, then told."""

import hashlib
from dataclasses import replace
from datetime import date, timedelta

import pytest

from market_pulse.contract import AnswerRecord, Bar, Cause, Interval
from market_pulse.producer.intake import Intake
from market_pulse.sources.base import Refusal, RefusedError, Request
from support.intake import DAILY, DECEMBER, IBM, MINUTE, NOW, QUOTE, answer, at, bars, minutes, told

HOURLY = replace(IBM, interval=Interval.SIXTY_MINUTES)
SHORT = replace(DECEMBER, full=False)


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
