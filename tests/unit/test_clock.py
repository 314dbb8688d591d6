from datetime import UTC, datetime, timedelta

from market_pulse.clock import MarketClock

DEPLOYED = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
OPENED = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


def test_a_simulated_market_runs_faster_from_its_own_start() -> None:
    clock = MarketClock(speed=60, real_start=DEPLOYED, market_start=OPENED)
    assert clock.at(DEPLOYED) == OPENED
    assert clock.at(DEPLOYED + timedelta(seconds=1)) == OPENED + timedelta(minutes=1)
    assert clock.real_seconds(OPENED, OPENED + timedelta(minutes=1)) == 1.0
    assert clock.after(OPENED, 1.0) == OPENED + timedelta(minutes=1)


def test_a_simulated_market_never_runs_ahead_of_real_time() -> None:
    clock = MarketClock(speed=60, real_start=DEPLOYED, market_start=OPENED)
    later = DEPLOYED + timedelta(days=365)
    assert clock.at(later) == later
    assert clock.real_seconds(later, later + timedelta(minutes=1)) == 60.0
    assert clock.after(later, 60.0) == later + timedelta(minutes=1)


def test_a_simulated_market_slows_down_at_the_instant_at_which_it_catches_up() -> None:
    clock = MarketClock(speed=61, real_start=DEPLOYED, market_start=DEPLOYED - timedelta(hours=60))
    caught_up = DEPLOYED + timedelta(hours=1)
    before = caught_up - timedelta(minutes=61)
    assert clock.real_seconds(before, caught_up + timedelta(minutes=1)) == 60.0 + 60.0
    assert clock.after(before, 120.0) == caught_up + timedelta(minutes=1)


def test_the_default_clock_is_real_time() -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert MarketClock(speed=1, real_start=epoch, market_start=epoch).at(DEPLOYED) == DEPLOYED
