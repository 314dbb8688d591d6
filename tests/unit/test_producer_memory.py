"""Budget and outbox: what they know is on disk, so each question is asked again after opening the file anew."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from market_pulse import contract
from market_pulse.contract import Bar
from market_pulse.errors import StateError
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


def test_only_bars_that_are_new_or_differ_are_queued(path: Path) -> None:
    outbox = Outbox(Store(path), 100)
    assert outbox.add([_bar(1), _bar(0), _bar(2, is_final=False)], NOON) == 3
    outbox = Outbox(Store(path), 100)
    assert outbox.add([_bar(1), _bar(2), _bar(3, is_final=False)], NOON) == 2
    assert outbox.add([_bar(1, close="1.50"), _bar(2), _bar(3, is_final=False)], NOON) == 1
    told = [contract.decode(message.symbol.encode(), message.value) for message in outbox.oldest(10)]
    assert told == [_bar(0), _bar(1), _bar(2, is_final=False), _bar(2), _bar(3, is_final=False), _bar(1, close="1.50")]


def test_symbols_are_remembered_apart(path: Path) -> None:
    outbox = Outbox(Store(path), 100)
    assert outbox.add([_bar(0)], NOON) == 1
    assert outbox.add([_bar(0, symbol="MSFT")], NOON) == 1


def test_what_answers_no_longer_tell_is_forgotten(path: Path) -> None:
    store = Store(path)
    outbox = Outbox(store, 1000)
    for start in range(50):
        outbox.add([_bar(minute) for minute in range(start, start + 10)], NOON)
    assert outbox.waiting == 59
    assert store.execute("SELECT count(*) FROM seen").fetchone() == (10,)


def test_a_poll_is_remembered_with_its_bars(path: Path) -> None:
    Outbox(Store(path), 100).add([_bar(1), _bar(0)], NOON)
    poll = Outbox(Store(path), 100).last_poll("IBM", "1min")
    assert poll is not None
    assert poll == Poll(NOON, NOON + timedelta(minutes=1), _bar(0).fetched_at)
    assert Outbox(Store(path), 100).last_poll("IBM", "5min") is None


def test_a_bar_stays_until_it_is_removed_and_room_is_counted(path: Path) -> None:
    outbox = Outbox(Store(path), 3)
    outbox.add_again([_bar(0), _bar(1)])
    assert not outbox.full
    outbox.add_again([_bar(0), _bar(1)])
    outbox = Outbox(Store(path), 3)
    assert (outbox.waiting, outbox.full) == (4, True)
    outbox.remove([message.id for message in outbox.oldest(2)])
    assert (outbox.waiting, outbox.full, len(outbox.oldest(10))) == (2, False, 2)


def test_a_damaged_file_is_named_not_replaced(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StateError, match=str(path)):
        Store(path)
    assert path.read_bytes().startswith(b"no database")


def test_a_file_of_the_first_release_is_taken_over(path: Path) -> None:
    outbox = Outbox(Store(path), 100)
    outbox.add([_bar(0)], NOON)
    store = Store(path)
    store.execute("ALTER TABLE poll DROP COLUMN fetched_at")
    store.execute("PRAGMA user_version = 1")
    store.close()
    outbox = Outbox(Store(path), 100)
    assert outbox.waiting == 1
    assert outbox.last_poll("IBM", "1min") == Poll(NOON, NOON, datetime(1970, 1, 1, tzinfo=UTC))
    assert outbox.add([_bar(1)], NOON) == 1


def test_a_file_of_another_release_is_refused(path: Path) -> None:
    store = Store(path)
    store.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StateError, match="99"):
        Store(path)
