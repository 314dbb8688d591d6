"""How the system tests keep the simulated market of their host open."""

from datetime import UTC, date, datetime

import pytest

from market_pulse.sessions import Sessions
from system.market import next_opening

_SESSIONS = Sessions.load("XNYS", date(2026, 1, 5))


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "opening"),
    [
        ("2026-01-05 14:30", None),
        ("2026-01-05 20:00", None),
        ("2026-01-05 20:01", "2026-01-06 14:30"),
        ("2026-01-05 23:00", "2026-01-06 14:30"),
        ("2026-01-06 03:00", "2026-01-06 14:30"),
        ("2026-01-06 10:00", "2026-01-06 14:30"),
        ("2026-01-09 20:30", "2026-01-12 14:30"),
    ],
)
def test_a_market_that_is_about_to_close_opens_again(now: str, opening: str | None) -> None:
    assert next_opening(_SESSIONS, _at(now), 3600) == (_at(opening) if opening else None)
