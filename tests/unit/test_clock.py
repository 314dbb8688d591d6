from datetime import UTC, datetime, timedelta

from market_pulse.clock import MarketClock

DEPLOYED = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
OPENED = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


def test_a_simulated_market_runs_faster_from_its_own_start() -> None:
    clock = MarketClock(speed=60, real_start=DEPLOYED, market_start=OPENED)
    assert clock.at(DEPLOYED) == OPENED
    assert clock.at(DEPLOYED + timedelta(seconds=1)) == OPENED + timedelta(minutes=1)
    assert clock.real_seconds(timedelta(minutes=1)) == 1.0


def test_a_simulated_market_never_runs_ahead_of_real_time() -> None:
    clock = MarketClock(speed=60, real_start=DEPLOYED, market_start=OPENED)
    later = DEPLOYED + timedelta(days=365)
    assert clock.at(later) == later


def test_the_default_clock_is_real_time() -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert MarketClock(speed=1, real_start=epoch, market_start=epoch).at(DEPLOYED) == DEPLOYED
