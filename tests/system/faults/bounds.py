"""What no fault may make grow without end: memory, open files, what waits in the outbox, the journal."""

from dataclasses import dataclass

from system.host import Host

JOURNAL_LINES_PER_SECOND = 50
# A JVM of 512 MB heap with its Python, and PostgreSQL with what its processes share counted for each.
_RESIDENT_KIBIBYTES = 2 * 1024**2
_OPEN_FILES = 2000
_OUTBOX_KIBIBYTES = 64 * 1024
_OUTBOX = "/var/lib/market-pulse/producer/producer.sqlite3*"
_PROCESSES = "ps -e -o pid= -o ppid= -o rss="
_FILES = "for pid in $(pgrep ''); do echo $pid $(ls /proc/$pid/fd 2>/dev/null | wc -l); done"


@dataclass(frozen=True)
class Process:
    """One process: its parent, what it holds in memory in KiB, and how many files it holds open."""

    parent: int
    resident: int


def processes(host: Host) -> dict[int, Process]:
    """Return every process of the host by its id."""
    rows = [tuple(map(int, line.split())) for line in host.run(_PROCESSES).splitlines()]
    return {pid: Process(parent, resident) for pid, parent, resident in rows}


def resident(host: Host, units: list[str]) -> dict[str, int]:
    """Return what each unit's processes hold in memory together, in KiB."""
    known = processes(host)
    return {unit: sum(known[pid].resident for pid in _family(known, host.main_pid(unit))) for unit in units}


def assert_bounded(host: Host, units: list[str]) -> None:
    """Require that every unit is within its bounds."""
    large = {unit: size for unit, size in resident(host, units).items() if size > _RESIDENT_KIBIBYTES}
    assert large == {}, f"KiB in memory: {large}"
    files = dict(tuple(map(int, line.split())) for line in host.run(_FILES).splitlines())
    many = {pid: count for pid, count in files.items() if count > _OPEN_FILES}
    assert many == {}, f"open files by process: {many}"
    outbox = int(host.run(f"cat {_OUTBOX} | wc -c")) // 1024
    assert outbox < _OUTBOX_KIBIBYTES, f"the outbox takes {outbox} KiB"


def journal_lines(host: Host) -> int:
    """Return how many entries of ours and of PostgreSQL's the journal has."""
    return int(host.run("journalctl --quiet --output=cat --unit='market-pulse*' --unit='postgresql@*' | wc -l"))


def _family(known: dict[int, Process], pid: int) -> set[int]:
    found, newest = {pid} & known.keys(), {pid}
    while newest:
        newest = {child for child, process in known.items() if process.parent in newest}
        found |= newest
    return found
