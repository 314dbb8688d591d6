"""Faults of processes, units and the whole host; what lasts is undone when its block ends, whatever happens in it."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

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
def stopped(host: Host, unit: str, *, killed: bool = False) -> Iterator[None]:
    """Keep a unit stopped; one that is killed has no time to write down where it was."""
    if killed:
        # In one command: systemd would start it again after two seconds.
        host.run(f"systemctl kill --signal=KILL --kill-whom=all {unit} && systemctl stop {unit}")
    host.run(f"systemctl stop {unit}")
    try:
        yield
    finally:
        host.run(f"systemctl start {unit}", timeout=300)


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


@contextlib.contextmanager
def overridden(host: Host, unit: str, *settings: str) -> Iterator[None]:
    """Give a unit other settings of its [Service]; whoever wants them in force before or after restarts it."""
    directory = f"/run/systemd/system/{unit.removesuffix('.service')}.service.d"
    host.run(f"mkdir -p {directory} && cat >{directory}/zz-fault.conf", stdin="\n".join(["[Service]", *settings, ""]))
    host.run("systemctl daemon-reload")
    try:
        yield
    finally:
        host.run(f"rm {directory}/zz-fault.conf && systemctl daemon-reload")


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


@contextlib.contextmanager
def born_into(megabytes: int) -> Iterator[None]:
    """Give what the lab host's service manager starts in the block, and its children, so much memory together.

    For a kernel whose controllers are cgroup v1's, which a lab host's own service manager may not write.
    """
    leader = _leader()
    home = _memory_group(leader)
    group = home / "market-pulse-fault"
    _as_root("mkdir", str(group))
    try:
        _write(group / "memory.limit_in_bytes", megabytes * 1024**2)
        _write(group / "cgroup.procs", leader)
        try:
            yield
        finally:
            _write(home / "cgroup.procs", leader)
        eventually(
            lambda: not (group / "cgroup.procs").read_text(), within=120, what="what was short of memory has ended"
        )
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            _write(home / "cgroup.procs", int(pid))
        _as_root("rmdir", str(group))


def cut_the_power(deployment: Deployment) -> None:
    """End the lab host's every process at once, and switch it on again."""
    _signal(signal.SIGKILL, [_leader()])
    boot_loop = int((_LAB / "pid").read_text())
    eventually(lambda: not _children(boot_loop), within=30, what="the host is off")
    deployment.power_on()


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


def _memory_group(pid: int) -> Path:
    """Return the directory of the memory controller's group that a process is in; cgroup v1."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    (path,) = (line.split(":")[2] for line in lines if line.split(":")[1] == "memory")
    return Path("/sys/fs/cgroup/memory" + path)


def _write(file: Path, number: int) -> None:
    _as_root("sh", "-c", f"echo {number} >{file}")


def _as_root(*command: str) -> None:
    subprocess.run([*_AS_ROOT, *command], check=True)


def _signal(number: signal.Signals, pids: list[int]) -> None:
    # One that has ended in the meantime is what kill complains about, after it has told the others.
    subprocess.run([*_AS_ROOT, "kill", f"-{number.name[3:]}", *map(str, pids)], capture_output=True, check=False)
