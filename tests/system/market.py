"""The hours of the simulated market on the tests' host, whose sessions last minutes of real time."""

from datetime import UTC, datetime

from market_pulse.clock import MarketClock
from market_pulse.sessions import Session, Sessions
from support.repository import group_vars
from system.deployment import INVENTORY
from system.host import Host

_CLOCK = {name: INVENTORY["all"]["vars"][f"market_pulse_clock_{name}"] for name in ("speed", "market_start")}
_START = datetime.fromisoformat(_CLOCK["market_start"])
_SESSIONS = Sessions.load(group_vars("pipeline")["market_pulse_exchange"], _START.date())
_BEGAN = "/etc/market-pulse/simulated-market-began"
_FORM = "%Y-%m-%dT%H:%M:%SZ"


def open_for(host: Host, seconds: float) -> None:
    """Have the market trade for so many real seconds from now: where it is about to close, the night is skipped.

    That moves the beginning of its time back, as if the host had been deployed earlier, with all units stopped.
    """
    market = clock(host)
    now = market_now(host, market)
    opening = next_opening(_SESSIONS, now, seconds * market.speed)
    if opening is None:
        return
    earlier = market.real_start - (opening - now) / market.speed
    # By their names, too: for the target alone systemctl does not wait, and who still ends would be left running.
    host.run("systemctl stop market-pulse.target 'market-pulse-*.service'")
    host.run(f"sed -i s/{market.real_start:{_FORM}}/{earlier:{_FORM}}/ {_BEGAN} /etc/market-pulse/*.env")
    host.run("systemctl start market-pulse.target", timeout=300)


def clock(host: Host) -> MarketClock:
    """Return the clock of a host's market."""
    return MarketClock(_CLOCK["speed"], datetime.fromisoformat(host.run(f"cat {_BEGAN}")), _START)


def market_now(host: Host, market: MarketClock) -> datetime:
    """Return the instant of the market's time that it is on a host."""
    return market.at(datetime.fromtimestamp(float(host.run("date +%s.%N")), UTC))


def next_opening(sessions: Sessions, now: datetime, seconds: float) -> datetime | None:
    """Return when the market next opens, or None where it trades for so many more seconds of its own time."""

    def trades(session: Session) -> bool:
        return session.open <= now and (session.close - now).total_seconds() >= seconds

    ahead = sessions.ahead(now)
    first = next(ahead)
    if trades(first):
        return None
    return first.open if first.open > now else next(ahead).open
