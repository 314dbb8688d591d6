"""Answers that are told again: after a death, after a clock was wrong, from the archive, or played once more."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from market_pulse.contract import AnswerRecord, Bar, Cause
from market_pulse.errors import StateError
from market_pulse.producer.intake import Intake
from support.intake import DECEMBER, IBM, MINUTE, NOW, answer, at, bars, minutes, told


@pytest.mark.parametrize("kept", [False, True])
def test_nothing_is_told_that_is_not_archived(
    intake: Intake, make: Callable[..., Intake], monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StateError("full")

    monkeypatch.setattr(*((intake.outbox, "take") if kept else (intake.archive, "add")), fail)
    with pytest.raises(StateError):
        intake.take(answer(IBM, NOW, minutes(100)), Cause.POLL)
    assert intake.outbox.waiting == 0
    # What was archived when the process died is told by the next one.
    again = make()
    assert len(told(again)) == (101 if kept else 0)
    assert again.take(answer(IBM, NOW, minutes(100), name="s"), Cause.POLL).told == (0 if kept else 100)
    assert len(told(make())) == (1 if kept else 101)


def test_a_new_memory_beside_an_old_archive_tells_none_of_it(
    intake: Intake, make: Callable[..., Intake], tmp_path: Path
) -> None:
    intake.take(answer(IBM, NOW, minutes(100)), Cause.POLL)
    intake.outbox = None  # type: ignore[assignment] - its file goes away
    for path in tmp_path.glob("producer.sqlite3*"):
        path.unlink()
    assert told(make()) == []


def test_an_archived_answer_is_told_without_a_call_and_behind_what_came_later(intake: Intake) -> None:
    labels = [f"2025-12-09 10:{minute:02}:00" for minute in range(30)]
    first, second = ((at(f"2025-12-09 10:{a}"), at(f"2025-12-09 10:{b}")) for a, b in (("00", "10"), ("05", "20")))
    request_id = "0123456789abcdef" * 2
    intake.take(answer(DECEMBER, NOW, labels, name=request_id), Cause.BACKFILL, first)
    told(intake)
    entry = intake.archive.newest(DECEMBER, NOW)
    assert entry is not None
    # The same range again, or a part of it, was told already.
    for only in (first, (first[0], first[0] + MINUTE)):
        assert intake.take_archived(entry, Cause.BACKFILL, only).told == 0
        assert told(intake) == []
    for times in (15, 0):
        taken = intake.take_archived(entry, Cause.BACKFILL, second)
        assert (taken.told, taken.covers, taken.gap) == (times, second, None)
    *new, record = told(intake)
    assert isinstance(record, AnswerRecord)
    assert (record.told, record.asked_at, record.fetched_at) == (15, NOW, entry.fetched_at)
    assert {bar.fetched_at for bar in new} == {entry.fetched_at}
    assert record.request_id == f"{request_id}:20251209T1505-20251209T1520"
    found = intake.archive.find(record.request_id)
    assert found is not None
    assert found.body == entry.body
    assert intake.archive.newest(DECEMBER, NOW) == entry


def test_a_recording_is_told_every_time_it_is_played(
    make: Callable[..., Intake], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    recorded = answer(IBM, NOW, minutes(3))
    for _ in range(2):
        intake = replace(make(), slots=None)
        taken = intake.take(recorded, Cause.REPLAY)
        assert (taken.told, taken.gap) == (3, None)
        assert [type(thing) for thing in told(intake)] == [Bar, Bar, Bar, AnswerRecord]
    assert len(list(intake.archive.entries())) == 1
    assert caplog.messages == []


def test_what_is_archived_after_the_newest_file_was_moved_away_is_told(
    intake: Intake, make: Callable[..., Intake], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number in range(3):
        intake.take(answer(IBM, NOW + number * MINUTE, minutes(100), name=f"r{number}"), Cause.POLL)
    told(intake)
    intake.archive.close()
    for path in (tmp_path / "archive").glob("*.sqlite3*"):
        path.rename(tmp_path / path.name)
    again = make()

    def die(*_: object, **__: object) -> None:
        raise StateError("dead")

    monkeypatch.setattr(again.outbox, "take", die)
    later = NOW + 5 * MINUTE
    with pytest.raises(StateError):
        again.take(answer(IBM, later, minutes(100, later), name="s"), Cause.POLL)
    assert [thing.request_id for thing in told(make())][-1] == "s"


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
