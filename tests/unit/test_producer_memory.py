"""Budget and outbox: what they know is on disk, so each question is asked again after opening the file anew."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs

from market_pulse import contract
from market_pulse.contract import AnswerRecord, Bar
from market_pulse.errors import StateError
from market_pulse.producer.archive import Place
from market_pulse.producer.budget import Budget
from market_pulse.producer.outbox import Outbox, Poll
from market_pulse.producer.store import Store
from market_pulse.sources.base import Limits

NEW_YORK = ZoneInfo("America/New_York")
NOON = datetime(2026, 1, 5, 17, tzinfo=UTC)
FREE = Limits(per_day=25, gap=timedelta(seconds=1.1))


def _bar(minute: int = 0, close: str = "1.5", *, symbol: str = "IBM", is_final: bool = True) -> Bar:
    return Bar(
        v=1,
        source="simulator",
        request_id="r",
        symbol=symbol,
        interval="1min",
        bar_time=NOON + timedelta(minutes=minute),
        open="1.5",
        high="2",
        low="1",
        close=close,
        volume="7",
        is_final=is_final,
        fetched_at=NOON + timedelta(hours=1),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "producer.sqlite3"


def test_the_26th_call_of_a_25_call_day_is_never_allowed_whatever_restarts(path: Path) -> None:
    now = NOON
    for _ in range(25):
        store = Store(path)
        budget = Budget(store, FREE, NEW_YORK)
        assert budget.allowed_at(now) == now
        budget.spend(now)
        store.close()
        now += timedelta(seconds=2)
    budget = Budget(Store(path), FREE, NEW_YORK)
    midnight = datetime(2026, 1, 6, tzinfo=NEW_YORK)
    assert budget.left(now) == 0
    assert budget.allowed_at(now) == midnight
    assert budget.allowed_at(midnight.astimezone(UTC)) == midnight
    assert budget.left(midnight) == 25


def test_two_calls_keep_their_distance_across_a_restart(path: Path) -> None:
    Budget(Store(path), FREE, NEW_YORK).spend(NOON)
    budget = Budget(Store(path), FREE, NEW_YORK)
    assert budget.allowed_at(NOON + timedelta(seconds=1)) == NOON + timedelta(seconds=1.1)
    assert budget.allowed_at(NOON + timedelta(seconds=1.1)) == NOON + timedelta(seconds=1.1)


def test_a_minute_holds_no_more_calls_than_the_plan(path: Path) -> None:
    budget = Budget(Store(path), Limits(per_minute=3), NEW_YORK)
    for second in (0, 10, 20):
        moment = NOON + timedelta(seconds=second)
        assert budget.allowed_at(moment) == moment
        budget.spend(moment)
    assert budget.allowed_at(NOON + timedelta(seconds=30)) == NOON + timedelta(seconds=60)
    assert budget.left(NOON) is None


def test_the_vendor_has_the_last_word_about_the_day(path: Path) -> None:
    budget = Budget(Store(path), Limits(per_minute=75), NEW_YORK)
    budget.exhaust(NOON)
    assert Budget(Store(path), Limits(per_minute=75), NEW_YORK).left(NOON) == 0
    assert budget.allowed_at(NOON) == datetime(2026, 1, 6, tzinfo=NEW_YORK)


def _record(count: int = 0, at: datetime = NOON, symbol: str = "IBM") -> AnswerRecord:
    return AnswerRecord(
        v=1,
        source="simulator",
        request_id="r",
        cause="poll",
        function="GLOBAL_QUOTE",
        symbol=symbol,
        interval="1min",
        month=None,
        asked_at=at,
        fetched_at=at,
        refusal=None,
        sha256=None,
        rows=count,
        told=count,
        unusable=0,
        covers_from=None,
        covers_until=None,
    )


def _tell(outbox: Outbox, *bars: Bar) -> int:
    """Tell what is fresh of a poll's bars, and return how many that are."""
    fresh, record = outbox.fresh(bars), _record(len(bars), symbol=bars[0].symbol)
    oldest, newest = min(bar.bar_time for bar in bars), max(bar.bar_time for bar in bars)
    outbox.take(fresh, record, seen_from=oldest, poll=Poll(NOON, newest, NOON))
    return len(fresh)


def test_only_bars_that_are_new_or_differ_are_queued(path: Path) -> None:
    outbox = Outbox(Store(path), 100)
    assert _tell(outbox, _bar(1), _bar(0), _bar(2, is_final=False)) == 3
    outbox = Outbox(Store(path), 100)
    assert _tell(outbox, _bar(1), _bar(2), _bar(3, is_final=False)) == 2
    assert _tell(outbox, _bar(1, close="1.50"), _bar(2), _bar(3, is_final=False)) == 1
    told = [contract.decode(message.symbol.encode(), message.value) for message in outbox.oldest(10)]
    assert [bar for bar in told if isinstance(bar, Bar)] == [
        *(_bar(0), _bar(1), _bar(2, is_final=False)),
        *(_bar(2), _bar(3, is_final=False)),
        _bar(1, close="1.50"),
    ]


def test_symbols_are_remembered_apart(path: Path) -> None:
    outbox = Outbox(Store(path), 100)
    assert _tell(outbox, _bar(0)) == 1
    assert _tell(outbox, _bar(0, symbol="MSFT")) == 1


def test_what_answers_no_longer_tell_is_forgotten(path: Path) -> None:
    store = Store(path)
    outbox = Outbox(store, 1000)
    for start in range(50):
        _tell(outbox, *(_bar(minute) for minute in range(start, start + 10)))
    assert outbox.waiting == 59 + 50
    assert store.execute("SELECT count(*) FROM seen").fetchone() == (10,)


def test_a_poll_is_remembered_with_its_bars(path: Path) -> None:
    _tell(Outbox(Store(path), 100), _bar(1), _bar(0))
    poll = Outbox(Store(path), 100).last_poll("IBM", "1min")
    assert poll == Poll(NOON, NOON + timedelta(minutes=1), NOON)
    assert Outbox(Store(path), 100).last_poll("IBM", "5min") is None


def test_a_bar_stays_until_it_is_removed_and_room_is_counted(path: Path) -> None:
    outbox = Outbox(Store(path), 3)
    outbox.take([_bar(0)], _record(1))
    assert not outbox.full
    outbox.take([_bar(1)], _record(1))
    outbox = Outbox(Store(path), 3)
    assert (outbox.waiting, outbox.full) == (4, True)
    outbox.remove([message.id for message in outbox.oldest(2)])
    assert (outbox.waiting, outbox.full, len(outbox.oldest(10))) == (2, False, 2)


def test_bars_are_queued_before_the_record_of_their_answer(path: Path) -> None:
    outbox = Outbox(Store(path), 100)
    outbox.take([_bar(0), _bar(1)], _record(2))
    outbox.take([_bar(0, symbol="MSFT")], _record(1, symbol="MSFT"))
    outbox = Outbox(Store(path), 100)
    assert outbox.waiting == 5
    waiting = outbox.oldest(10)
    assert [message.symbol for message in waiting] == ["IBM"] * 3 + ["MSFT"] * 2
    told = [contract.decode(message.symbol.encode(), message.value) for message in waiting]
    assert told == [_bar(0), _bar(1), _record(2), _bar(0, symbol="MSFT"), _record(1, symbol="MSFT")]


def test_what_an_answer_leaves_behind_is_written_whole_or_not_at_all(path: Path) -> None:
    store = Store(path)
    outbox = Outbox(store, 100)
    everything = {"seen_from": NOON, "poll": Poll(NOON, NOON, NOON), "place": Place("2026-01-05", 3)}
    store.execute("CREATE TRIGGER nothing_more BEFORE INSERT ON archived BEGIN SELECT raise(ABORT, 'full'); END")
    with pytest.raises(StateError, match="full"):
        outbox.take([_bar(0)], _record(1), **everything)
    store.execute("DROP TRIGGER nothing_more")
    outbox = Outbox(store, 100)
    assert (outbox.waiting, outbox.place(), outbox.last_poll("IBM", "1min")) == (0, None, None)
    assert outbox.fresh([_bar(0)]) == [_bar(0)]
    outbox.take([_bar(0)], _record(1), **everything)
    outbox = Outbox(Store(path), 100)
    assert (outbox.waiting, outbox.place()) == (2, Place("2026-01-05", 3))
    assert outbox.last_poll("IBM", "1min") == Poll(NOON, NOON, NOON)
    assert outbox.fresh([_bar(0), _bar(1)]) == [_bar(1)]


def test_what_a_part_of_the_past_tells_is_remembered_no_further_than_polls_reach(path: Path) -> None:
    outbox = Outbox(Store(path), 100)
    outbox.take([_bar(-1)], _record(1), seen_from=outbox.oldest_seen("IBM", "1min"))
    assert outbox.fresh([_bar(-1)]) == [_bar(-1)]
    outbox.take([_bar(0), _bar(1)], _record(2), seen_from=NOON)
    assert outbox.oldest_seen("IBM", "1min") == NOON
    outbox.take([_bar(-1), _bar(0, close="1.25")], _record(2), seen_from=NOON)
    assert outbox.fresh([_bar(-1), _bar(0), _bar(0, close="1.25"), _bar(1)]) == [_bar(-1), _bar(0)]


def test_the_newest_telling_and_the_place_in_the_archive_never_go_back(path: Path) -> None:
    outbox = Outbox(Store(path), 100)
    later = NOON + timedelta(days=1)
    for at, number in ((later, 2), (NOON, 1)):
        outbox.take([_bar(0)], _record(1, at), place=Place("2026-01-05", number))
    assert outbox.told_at("IBM", "1min") == later
    assert outbox.place() == Place("2026-01-05", 2)
    outbox.take((), _record(0, later + timedelta(days=1)))
    assert outbox.told_at("IBM", "1min") == later


def test_a_bar_of_the_future_is_told_again_when_its_time_has_come(path: Path) -> None:
    outbox = Outbox(Store(path), 100)
    early = structs.replace(_bar(0), fetched_at=NOON - timedelta(seconds=1))
    outbox.take([early], _record(1), seen_from=NOON)
    assert outbox.fresh([early]) == []
    assert outbox.fresh([_bar(0)]) == [_bar(0)]


def test_a_damaged_file_is_named_not_replaced(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StateError, match=str(path)):
        Store(path)
    assert path.read_bytes().startswith(b"no database")


def test_a_file_that_another_process_holds_is_named(path: Path) -> None:
    store, other = Store(path), Store(path)
    other.execute("PRAGMA busy_timeout = 10")
    with store.transaction():
        for act in (lambda: other.execute("DELETE FROM outbox"), lambda: other.transaction().__enter__()):
            with pytest.raises(StateError, match=f"{path.name}.* is locked"):
                act()
    with other.transaction():
        other.execute("DELETE FROM outbox")


def test_a_file_of_the_first_release_is_taken_over(path: Path) -> None:
    outbox = Outbox(Store(path), 100)
    _tell(outbox, _bar(0))
    store = Store(path)
    for table in ("telling", "archived", "backlog", "quota_note"):
        store.execute(f"DROP TABLE {table}")
    store.execute("PRAGMA user_version = 1")
    store.close()
    outbox = Outbox(Store(path), 100)
    assert outbox.waiting == 2
    assert outbox.last_poll("IBM", "1min") == Poll(NOON, NOON, datetime(1970, 1, 1, tzinfo=UTC))
    assert _tell(outbox, _bar(1)) == 1
    assert outbox.place() is None


def test_a_file_of_another_release_is_refused(path: Path) -> None:
    store = Store(path)
    store.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StateError, match="99"):
        Store(path)
