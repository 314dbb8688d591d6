"""Faults of one host of several, and what must hold while they last and afterwards."""

import contextlib
import os
import subprocess
from collections.abc import Iterator

from system.cluster.cluster import ADDRESSES, KAFKA, Cluster
from system.faults.injections import last
from system.host import Host
from system.invariants import assert_nothing_lost_or_doubled, assert_positions_reach_the_logs_end, await_progress

_AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"]
_NODES = set(range(1, len(KAFKA) + 1))


Fault = contextlib.AbstractContextManager[None]


def survives(cluster: Cluster, fault: Fault, *, within: float, back: float) -> None:
    """Require that bars go on while a fault of one host lasts.

    Args:
        cluster: all well.
        fault: lasts as long as its block.
        within: the budget in seconds from the fault to newer bars of every symbol, while it lasts.
        back: as in `heals`.
    """
    with _tried(cluster, back), fault:
        await_progress(cluster.database, within=within)


def heals(cluster: Cluster, fault: Fault, *, after: float, back: float) -> None:
    """Require that all is well again when a fault is over that lasts for `after` seconds.

    Args:
        cluster: all well.
        fault: lasts as long as its block.
        after: for how long.
        back: the budget in seconds from its end until newer bars of every symbol are stored, and all units run.
    """
    with _tried(cluster, back), fault:
        last(after)


@contextlib.contextmanager
def _tried(cluster: Cluster, back: float) -> Iterator[None]:
    database = cluster.database
    cluster.await_running(within=60)
    cluster.await_in_step(on=_NODES)
    await_progress(database, within=60)
    quarantined = database.number("select count(*) from market.quarantine")
    yield
    await_progress(database, within=back)
    cluster.await_running(within=back)
    cluster.await_in_step(on=_NODES)
    assert_nothing_lost_or_doubled(database)
    assert_positions_reach_the_logs_end(database)
    assert database.number("select count(*) from market.quarantine") == quarantined, "a good record is in quarantine"


@contextlib.contextmanager
def killed(host: Host, unit: str) -> Iterator[None]:
    """Have every process of a unit end at once and keep it from coming back until the block ends."""
    # Masked first: systemd would start it again at once.
    host.run(f"systemctl mask --runtime {unit}; systemctl kill --signal=KILL --kill-whom=all {unit}")
    host.run(f"systemctl stop {unit}")
    try:
        yield
    finally:
        host.run(
            f"systemctl unmask --runtime {unit}; systemctl reset-failed {unit}; systemctl start {unit}", timeout=300
        )


@contextlib.contextmanager
def cable_out(name: str) -> Iterator[None]:
    """Pull the host's cable, and put it back when the block ends."""
    cable = f"vb-{name}"
    _on_this_machine("ip", "link", "set", cable, "down")
    try:
        yield
    finally:
        _on_this_machine("ip", "link", "set", cable, "up")


@contextlib.contextmanager
def split(*pairs: tuple[str, str]) -> Iterator[None]:
    """Let two hosts hear nothing of each other, while both hear everybody else."""
    table = "market_pulse_split"
    ways = [(ADDRESSES[a], ADDRESSES[b]) for one, other in pairs for a, b in ((one, other), (other, one))]
    drops = "\n".join(f"ip saddr {source} ip daddr {target} drop" for source, target in ways)
    rules = f"table bridge {table} {{ chain forward {{ type filter hook forward priority 0;\n{drops}\n}}\n}}"
    _on_this_machine("nft", "-f", "-", stdin=rules)
    try:
        yield
    finally:
        _on_this_machine("nft", "delete", "table", "bridge", table)


def _on_this_machine(*command: str, stdin: str | None = None) -> None:
    done = subprocess.run([*_AS_ROOT, *command], input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
