"""The vocabulary of the faults: what is done to a lab host, and undone when its block ends, whatever happens in it."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

from support.repository import ROOT
from support.waiting import eventually
from system.deployment import HOST_NAME, Deployment
from system.host import Host

PRODUCER = "market-pulse-producer"
BROKER = "market-pulse-kafka"
MASTER = "market-pulse-spark-master"
WORKER = "market-pulse-spark-worker"
CONSUMER = "market-pulse-consumer"
VENDOR = "market-pulse-simulator"
AUDITOR = "market-pulse-auditor"
BROKER_PORT, DATABASE_PORT = 9092, 5432
# Who runs the sink: the executors are the worker's children.
SINK_USER = "market-pulse-spark"
PRODUCER_USER = PRODUCER

_NFT_TABLE = "inet market_pulse_fault"
_LAB = ROOT / ".lab" / "molecule" / "hosts" / HOST_NAME
_AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"]


def last(seconds: float) -> None:
    """Let a fault last: the one wait that is for time and not for a condition."""
    time.sleep(seconds)


def kill(host: Host, unit: str) -> None:
    """End every process of a unit at once."""
    host.run(f"systemctl kill --signal=KILL --kill-whom=all {unit}")


def kill_supervisor(host: Host, unit: str) -> None:
    """End the process that speaks to systemd, and leave the program that does the work."""
    host.run(f"systemctl kill --signal=KILL --kill-whom=main {unit}")


def kill_executor(host: Host) -> None:
    """End the JVM that runs the sink, if there is one just now, and leave the worker that started it."""
    host.run("pgrep --full [C]oarseGrainedExecutorBackend | xargs --no-run-if-empty kill -KILL")


def kill_sessions(host: Host) -> None:
    """End the database's processes that serve the sink, if there are any: the server then recovers from its log."""
    pids = host.sql("select pid from pg_stat_activity where application_name = 'market-pulse consumer'")
    host.run("xargs --no-run-if-empty kill -KILL", stdin=" ".join(pid for (pid,) in pids))


def hang(host: Host, unit: str) -> float:
    """Stop the process that does the work, and return when, in seconds since 1970.

    Under a supervisor that is its child, so that only a probe can notice.
    """
    main = host.main_pid(unit)
    child = host.run(f"pgrep --parent {main} || true").split()
    return float(host.run(f"date +%s.%N && kill -STOP {child[0] if child else main}"))


@contextlib.contextmanager
def stopped(host: Host, unit: str) -> Iterator[None]:
    """Keep a unit stopped."""
    host.run(f"systemctl stop {unit}")
    try:
        yield
    finally:
        host.run(f"systemctl start {unit}", timeout=300)


@contextlib.contextmanager
def cut(host: Host, user: str, port: int, *, refused: bool = False) -> Iterator[None]:
    """Keep a user's packets from a port of the host: they vanish, or are refused by a reset."""
    verdict = "reject with tcp reset" if refused else "drop"
    rule = f"meta skuid {user} tcp dport {port} {verdict}"
    host.run(
        "nft -f -",
        stdin=f"table {_NFT_TABLE} {{\n chain out {{\n type filter hook output priority 0;\n {rule}\n }}\n}}\n",
    )
    try:
        yield
    finally:
        host.run(f"nft delete table {_NFT_TABLE}")


@contextlib.contextmanager
def locked(host: Host, table: str) -> Iterator[None]:
    """Hold a table so that nobody reads or writes it, as a careless session of psql does."""
    # Not named like our units: their sandbox would take PostgreSQL's shared memory away with this one's end.
    name = "fault-lock"
    statements = f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3600)"
    host.run(
        f"systemd-run --quiet --collect --unit={name} --uid=postgres --setenv=PGAPPNAME={name} "
        f"psql -d market_pulse -c '{statements}'"
    )
    mine = f"from pg_stat_activity where application_name = '{name}'"
    try:
        asleep = f"select count(*) {mine} and wait_event = 'PgSleep'"
        eventually(lambda: host.number(asleep) == 1, within=60, what=f"{table} is locked")
        yield
    finally:
        host.sql(f"select pg_terminate_backend(pid) {mine}")


@dataclass(frozen=True)
class SmallDisk:
    """A disk of its own under a unit's state."""

    host: Host
    path: str

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Take all the room there is left."""
        self.host.run(f"fallocate --length $(df --output=avail --block-size=1 {self.path} | tail -1) {self.path}/fill")
        try:
            yield
        finally:
            self.host.run(f"rm {self.path}/fill")


@contextlib.contextmanager
def small_disk(host: Host, unit: str, path: str, megabytes: int) -> Iterator[SmallDisk]:
    """Give a unit's state a small disk while the block lasts; the unit is restarted before and after."""
    kept = "/run/market-pulse-fault-disk"
    host.run(f"mkdir {kept}")
    with stopped(host, unit):
        host.run(
            f"mount --bind {path} {kept} && mount -t tmpfs -o size={megabytes}m tmpfs {path} && cp -a {kept}/. {path}/"
        )
    try:
        yield SmallDisk(host, path)
    finally:
        with stopped(host, unit):
            host.run(f"find {kept} -mindepth 1 -delete && cp -a {path}/. {kept}/ && umount {path} && umount {kept}")
            host.run(f"rmdir {kept}")


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Stop every process of the lab host, its service manager included, as a hypervisor pauses a machine."""
    leader = _leader()
    processes: list[int] = []
    _signal(signal.SIGSTOP, [leader])
    try:
        # A process may have had a child since it was listed; one that is stopped has none.
        while fresh := [pid for pid in _descendants(leader) if pid not in processes]:
            _signal(signal.SIGSTOP, fresh)
            processes += fresh
        yield
    finally:
        _signal(signal.SIGCONT, [*processes, leader])


def cut_the_power(deployment: Deployment) -> None:
    """End the lab host's every process at once, and switch it on again."""
    _signal(signal.SIGKILL, [_leader()])
    boot_loop = int((_LAB / "pid").read_text())
    eventually(lambda: not _children(boot_loop), within=30, what="the host is off")
    deployment.molecule("create")


def reboot(host: Host) -> None:
    """Have the host reboot, and return when it answers again."""
    before = _booted_at(host)
    host.run("systemctl reboot", check=False)
    eventually(lambda: _booted_at(host) not in {"", before}, within=60, what="the host answers after the reboot")


def _booted_at(host: Host) -> str:
    """When the host's service manager was started, or nothing while the host does not answer."""
    return host.run("systemctl show --property=UserspaceTimestampMonotonic --value", check=False)


def _leader() -> int:
    """Return the lab host's PID 1 as this machine counts: the boot loop's grandchild."""
    (nspawn,) = _children(int((_LAB / "pid").read_text()))
    return _children(nspawn)[0]


def _children(pid: int) -> list[int]:
    listed = subprocess.run(["pgrep", "--parent", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


def _descendants(pid: int) -> list[int]:
    return [found for child in _children(pid) for found in (child, *_descendants(child))]


def _signal(number: signal.Signals, pids: list[int]) -> None:
    # One that has ended in the meantime is what kill complains about, after it has told the others.
    subprocess.run([*_AS_ROOT, "kill", f"-{number.name[3:]}", *map(str, pids)], capture_output=True, check=False)
