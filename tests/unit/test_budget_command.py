"""What `market-pulse budget` says, and in whose name a command opens the producer's memory."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from market_pulse.cli.budget import lines
from market_pulse.cli.producer_host import ProducerHost
from market_pulse.errors import OrderError
from market_pulse.producer import store
from market_pulse.producer.store import Store

NOW = datetime(2026, 1, 6, 15, 0, tzinfo=UTC)
FREE: dict[str, object] = {
    "per_day": 25,
    "per_minute": None,
    "gap_seconds": 1.1,
    "used_today": 3,
    "left": 22,
    "need": 20,
    "reserve": 2,
    "spare": 0,
    "backlog": {},
    "resets_at": "2026-01-07T05:00:00+00:00",
    "held_until": None,
    "symbols": 20,
    "refused": [],
}


def _said(**changes: object) -> str:
    return "\n".join(lines({**FREE, **changes}, NOW))


def test_a_free_keys_day_is_explained() -> None:
    assert _said().splitlines() == [
        (
            "the plan allows 25 calls a day, 1.1 s apart;"
            " the vendor's next day begins at 2026-01-07 05:00 UTC, in 14 h 00 min"
        ),
        "used today: 3",
        "left today: 22, of which",
        "  20 for the live polls of 20 symbols",
        "  2 kept to ask again what fails",
        "  0 to spare, for repairs, then for backfill",
        "backlog: nothing waits",
    ]


def test_a_plan_without_a_day_is_explained() -> None:
    said = _said(per_day=None, per_minute=75, left=None, spare=None, need=2400, symbols=1)
    assert "the plan allows 75 calls a minute and has no daily limit" in said
    assert "needed for the live polls of 1 symbol until 2026-01-07 05:00 UTC, in 14 h 00 min: 2400" in said


def test_what_waits_and_what_is_refused_is_named() -> None:
    waiting = {"repair": {"open": 1, "oldest": "2026-01-05"}, "backfill": {"open": 12, "oldest": "2026-01-04"}}
    said = _said(backlog=waiting, refused=["IBM", "MSFT"], held_until="2026-01-06T15:05:00+00:00", need=30, left=25)
    assert "backlog: 1 call for repair, the oldest since 2026-01-05" in said
    assert "backlog: 12 calls for backfill, the oldest since 2026-01-04" in said
    assert "refused at the moment: IBM, MSFT" in said
    assert "left alone until 2026-01-06T15:05:00+00:00" in said
    assert "5 more than there are, so the longest unanswered come first" in said


@pytest.fixture
def state() -> Iterator[Path]:
    """A directory that another user may enter, as pytest's own are root's alone."""
    folder = Path("/tmp") / f"market-pulse-owner-{os.getpid()}"
    folder.mkdir(mode=0o700)
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root acts in another's name")
def test_the_producers_memory_stays_its_owners(state: Path) -> None:
    nobody = 65534
    Store(state / store.NAME).close()
    for path in (state, *state.iterdir()):
        os.chown(path, nobody, nobody)
    with ProducerHost(state=state).memory() as memory:
        memory.execute("INSERT INTO call VALUES ('now')")
        owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in state.iterdir()}
    assert owners == dict.fromkeys([store.NAME, f"{store.NAME}-wal", f"{store.NAME}-shm"], (nobody, nobody))
    assert (os.geteuid(), os.getegid()) == (0, 0)


def test_a_producer_that_never_ran_has_no_memory(tmp_path: Path) -> None:
    with pytest.raises(OrderError, match="makes it at its first start"), ProducerHost(state=tmp_path).memory():
        pass
