"""Many who look at once: their dashboards are fresh, and bars come in as without them."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from support.waiting import eventually
from system.deployment import BRIDGE, Deployment
from system.host import Host
from system.invariants import await_progress
from system.market import clock, market_now
from system.neighbour import neighbour

_SECONDS, _CONNECTIONS = 45, 16
_MOST_LAG_SECONDS = 10
_MINUTE = timedelta(minutes=1)


@pytest.mark.slow
def test_two_hundred_dashboards_hold_up_no_bar(deployment: Deployment, host: Host) -> None:
    await_progress(host, within=90)
    analyst, market, program = deployment.analyst(), clock(host), Path(__file__).with_name("dashboards.py")
    command = [sys.executable, str(program), str(_SECONDS), str(_CONNECTIONS)]
    with neighbour("mp-boards", "10.77.2.42/24", BRIDGE) as computer, ThreadPoolExecutor() as executor:
        looking = executor.submit(lambda: computer.run(*command, **analyst))
        bars = 0
        while not looking.done():
            start = market_now(host, market).replace(second=0, microsecond=0)
            left = market.real_seconds(market_now(host, market), start + _MINUTE)
            eventually(
                partial(_is_stored, host, start),
                within=left + _MOST_LAG_SECONDS,
                what=f"the bar of {start} is stored",
                every=0.2,
            )
            bars += 1
    looked = looking.result()
    assert looked.returncode == 0, looked.stderr
    told = json.loads(looked.stdout)
    sys.stdout.write(f"pages refreshed: {sum(told['refreshed'])}, slowest {told['slowest']:.2f} s, bars {bars}\n")
    assert told["failed"] == []
    # Every change of a minute's reached every dashboard: at least one of each.
    assert min(told["refreshed"]) >= bars - 1 > 1


def _is_stored(host: Host, start: datetime) -> bool:
    query = "SELECT count(*) FROM market.bar WHERE symbol = 'IBM' AND interval = '1min' AND is_final AND bar_time = "
    return host.number(f"{query}'{start:%Y-%m-%d %H:%M}Z'") == 1
