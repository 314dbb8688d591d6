"""Faults at random, by a seed: MARKET_PULSE_SEED and MARKET_PULSE_NEMESIS_SECONDS give other ones, and more."""

import contextlib
import os
import sys
import time
from collections.abc import Callable

import pytest

from system.deployment import UNITS
from system.faults.injections import (
    AUDITOR,
    BROKER,
    CONSUMER,
    MASTER,
    PRODUCER,
    VENDOR,
    WORKER,
    kill,
    kill_executor,
    kill_sessions,
    kill_supervisor,
    last,
    locked,
    paused,
    stopped,
)
from system.faults.network import BROKER_PORT, DATABASE_PORT, PRODUCER_USER, SINK_USER, cut
from system.faults.plan import plan
from system.faults.trial import ANY, Trial
from system.host import Host

_SEED = int(os.environ.get("MARKET_PULSE_SEED", "23635"))
_SECONDS = float(os.environ.get("MARKET_PULSE_NEMESIS_SECONDS", "300"))

# What begins and ends with a block, and what is done at once.
_LASTING: dict[str, Callable[[Host], contextlib.AbstractContextManager[None]]] = {
    "lose the producer's packets to the broker": lambda host: cut(host, PRODUCER_USER, BROKER_PORT),
    "reset the producer's connections to the broker": lambda host: cut(host, PRODUCER_USER, BROKER_PORT, refused=True),
    "lose the sink's packets to PostgreSQL": lambda host: cut(host, SINK_USER, DATABASE_PORT),
    "lock the table of bars": lambda host: locked(host, "market.bar"),
    "pause the host": lambda _: paused(),
    "stop the vendor": lambda host: stopped(host, VENDOR),
    "stop the broker": lambda host: stopped(host, BROKER),
}
_AT_ONCE: dict[str, Callable[[Host], None]] = {
    **{f"kill {unit}": lambda host, unit=unit: kill(host, unit) for unit in (PRODUCER, BROKER, CONSUMER, VENDOR)},
    **{f"kill {unit}": lambda host, unit=unit: kill(host, unit) for unit in (MASTER, WORKER, AUDITOR)},
    "kill PostgreSQL": lambda host: kill_supervisor(host, host.postgresql_unit()),
    "kill the sink's sessions": kill_sessions,
    "kill the executor": kill_executor,
}


@pytest.mark.slow
def test_whatever_comes_in_whatever_order_is_over_by_itself(host: Host, trial: Trial) -> None:
    steps = plan(_SEED, _SECONDS, sorted(_LASTING | _AT_ONCE))
    sys.stdout.write(f"MARKET_PULSE_SEED={_SEED} MARKET_PULSE_NEMESIS_SECONDS={_SECONDS:.0f}\n{steps}\n")
    units = [*UNITS, host.postgresql_unit()]
    what = f"{len(steps)} faults in {_SECONDS:.0f} s, seed {_SEED}"
    with trial("nemesis", what, within=180, restarts=dict.fromkeys(units, ANY), lasts=_SECONDS):
        began = time.monotonic()
        for step in steps:
            last(max(0.0, began + step.at - time.monotonic()))
            _do(host, step.fault, step.seconds)
    host.run("market-pulse verify", timeout=300)


def _do(host: Host, fault: str, seconds: float) -> None:
    if fault in _AT_ONCE:
        _AT_ONCE[fault](host)
        return
    with _LASTING[fault](host):
        last(seconds)
