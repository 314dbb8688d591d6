"""Other symbols are a matter of a reload: the producer stays, and so does what it does for the others."""

import pytest

from support.waiting import eventually
from system.deployment import SYMBOLS, Deployment
from system.host import Host
from system.invariants import assert_nothing_lost_or_doubled, await_progress

_PRODUCER = "market-pulse-producer"
_ANOTHER = "TSLA"


# Two runs of the whole playbook; the reload itself is tested in tests/integration/test_producer_operations.py.
@pytest.mark.slow
def test_symbols_come_and_go_by_a_reload(deployment: Deployment, host: Host) -> None:
    before = host.show(_PRODUCER, "InvocationID", "NRestarts")
    deployment.converge(market_pulse_symbols=[*SYMBOLS, _ANOTHER])
    bars = f"select count(*) from market.bar where symbol = '{_ANOTHER}'"
    eventually(lambda: host.number(bars) > 0, within=60, what=f"bars of {_ANOTHER} are stored")
    eventually(
        lambda: host.number(f"select count(*) from market.series where symbol = '{_ANOTHER}' and until is null") == 1,
        within=60,
        what=f"bars of {_ANOTHER} are expected from now on",
    )
    deployment.converge()
    assert host.show(_PRODUCER, "InvocationID", "NRestarts") == before
    eventually(
        lambda: host.number(f"select count(*) from market.series where symbol = '{_ANOTHER}' and until is null") == 0,
        within=60,
        what=f"bars of {_ANOTHER} are expected no longer",
    )
    await_progress(host, within=60)
    assert_nothing_lost_or_doubled(host)
