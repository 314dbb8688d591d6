"""How long the demo on a lab host takes to stand, role by role, and how much memory it takes, unit by unit.

Not run by ``make bench``, for it takes a quarter of an hour and the place of ``make up``:
``python tests/bench/deploy.py --write``. The first deployment finds an empty cache, the second one a full one, and the
third and the fourth find everything done, but the third one programs that have just started and the first backup, which
is being made and proven; with ``--warm`` the first one is left out, and the cache is the user's own. With
``--minutes 60`` the memory is read again after so long, and then under load.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import yaml

from bench import page
from support.repository import ANSIBLE, ROOT
from support.waiting import eventually

_SITE = "ansible-playbook -i ansible/inventories/lab ansible/site.yml"
# The demo's market runs 60 times as fast as a real one: each of them brings a bar a second, and is asked for as often.
_LOAD_SYMBOLS = [f"S{number:03}" for number in range(75)]
_LOAD_MINUTES = 5
# What `make up` leaves at work for a while.
_FIRST_JOBS = {"market-pulse-backup.service", "market-pulse-restore-proof.service"}
_TOLD = {"PROFILE_TASKS_TASK_OUTPUT_LIMIT": "all", "ANSIBLE_NOCOLOR": "1"}
# A task's line among those of the callback that ansible.cfg names; one of a play's own has no role.
_TASK = re.compile(r"^(?:(\w+) : )?\S.* -+ +([\d.]+)s$", re.MULTILINE)
_INVENTORY = yaml.safe_load((ANSIBLE / "inventories" / "lab" / "hosts.yml").read_text())
(_DEMO,) = _INVENTORY["all"]["children"]["lab"]["hosts"]
_UNIT = r"/market-pulse-lab-{host}/.*?([\w@.-]+\.service)$"
_PROPORTIONAL = re.compile(r"^Pss: +(\d+) kB$", re.MULTILINE)


@dataclass
class Step:
    """One run: its name, how long it took as a whole, and in each role, in seconds."""

    name: str
    seconds: float
    roles: Mapping[str, float] = field(default_factory=dict)


def timed(name: str, command: str, environment: Mapping[str, str]) -> Step:
    """Run a command of the README's, and return how long it took."""
    began = time.perf_counter()
    done = subprocess.run(
        command.split(), cwd=ROOT, env={**environment, **_TOLD}, text=True, stdout=subprocess.PIPE, check=True
    )
    seconds = time.perf_counter() - began
    print(f"{name}: {seconds:.0f} s", flush=True)
    return Step(name, seconds, by_role(done.stdout))


def by_role(printed: str) -> Mapping[str, float]:
    """Return how many seconds each role took, as the callback tells by task at the end of each playbook of a command.

    Each table has what the playbooks before it took, too, so that the last one is of the whole command.
    """
    roles: dict[str, float] = {}
    for role, taken in _TASK.findall(printed.rpartition("TASKS RECAP")[2]):
        roles[role or "the plays' own"] = roles.get(role or "the plays' own", 0) + float(taken)
    return roles


def steps_table(steps: list[Step]) -> str:
    """Return how long each step took, and the roles that took a second or more, the longest first."""
    longest = {role: max(step.roles.get(role, 0) for step in steps) for step in steps for role in step.roles}
    rows = [["all of it", *(f"{step.seconds:.0f}" for step in steps)]]
    rows += [
        [role, *(f"{step.roles.get(role, 0):.0f}" for step in steps)]
        for role, most in sorted(longest.items(), key=lambda item: -item[1])
        if most >= 1
    ]
    return _table(["role", *(f"{step.name}, s" for step in steps)], rows)


def _table(titles: list[str], rows: list[list[str]]) -> str:
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def footprint() -> Mapping[str, float]:
    """Return how many MiB the processes of each unit of the demo take, what they share counted once.

    Its processes are this machine's, too, where the kernel tells of each in which unit of which host it is.
    """
    taken: dict[str, float] = defaultdict(float)
    for process in Path("/proc").glob("[0-9]*"):
        # One that has ended meanwhile takes none.
        with contextlib.suppress(OSError):
            if unit := unit_of(_DEMO, (process / "cgroup").read_text()):
                taken[unit] += proportional((process / "smaps_rollup").read_text())
    return taken


def unit_of(host: str, cgroups: str) -> str | None:
    """Return the unit of a lab host that a process is in, by its cgroups, or None if it is in none of this host's."""
    found = re.search(_UNIT.format(host=re.escape(host)), cgroups, re.MULTILINE)
    return found[1] if found else None


def proportional(rollup: str) -> float:
    """Return how many MiB a process takes, by the sum of its maps; none where it has no memory, as one that ends."""
    return sum(int(kibibytes) for kibibytes in _PROPORTIONAL.findall(rollup)) / 1024


def footprint_table(taken: Mapping[str, Mapping[str, float]]) -> str:
    """Return how much memory each unit took at which times, the most first, and all of them."""
    most = {unit: max(then.get(unit, 0) for then in taken.values()) for then in taken.values() for unit in then}
    rows = [["all of the host", *(f"{sum(then.values()):,.0f}" for then in taken.values())]]
    rows += [
        [unit, *(f"{then.get(unit, 0):,.0f}" for then in taken.values())]
        for unit, mebibytes in sorted(most.items(), key=lambda item: -item[1])
        if mebibytes >= 1
    ]
    return _table(["unit", *(f"{when}, MiB" for when in taken)], rows)


def watched(environment: Mapping[str, str], minutes: int) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Yield how much memory each unit takes now, after so many minutes, and at most under load, and when that was."""
    yield "after the second run", footprint()
    if minutes:
        time.sleep(60 * minutes)
        yield f"after {minutes} minutes more", footprint()
        more = json.dumps({"market_pulse_symbols": _LOAD_SYMBOLS})
        subprocess.run([*_SITE.split(), "-e", more], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        most: dict[str, float] = {}
        for _ in range(_LOAD_MINUTES):
            time.sleep(60)
            now = footprint()
            most = {unit: max(most.get(unit, 0), now.get(unit, 0)) for unit in most | now}
        yield f"at most, at {len(_LOAD_SYMBOLS)} bars a second", most


def deployed(
    environment: Mapping[str, str], *, is_warm: bool, minutes: int
) -> tuple[list[Step], Mapping[str, Mapping[str, float]]]:
    """Deploy the demo four times, or three where the cache is full, look at what it takes, and remove it."""
    if (ROOT / ".lab" / "demo").exists():
        sys.exit("`make down` first: the demo stands already")
    steps = []
    try:
        if not is_warm:
            steps.append(timed("empty cache", "make up", environment))
            subprocess.run(["make", "down"], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        steps.append(timed("full cache", "make up", environment))
        steps.append(timed("at once again", _SITE, environment))
        eventually(
            lambda: not _FIRST_JOBS & footprint().keys(), within=600, what="the first backup to be proven", every=5
        )
        steps.append(timed("once more", _SITE, environment))
        return steps, dict(watched(environment, minutes))
    finally:
        subprocess.run(["make", "down"], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


def main(wish: argparse.Namespace) -> None:
    """Measure, print, and write it down if that is wished."""
    with tempfile.TemporaryDirectory(prefix="mp-bench-") as place:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
            **({} if wish.warm else {"MARKET_PULSE_CACHE": f"{place}/cache"}),
        }
        steps, taken = deployed(environment, is_warm=wish.warm, minutes=wish.minutes)
    told = {"deploy": steps_table(steps), "footprint": footprint_table(taken)}
    for section, lines in told.items():
        print(lines)
        if wish.write:
            page.put(section, f"As of {datetime.now(UTC).date().isoformat()}:\n\n{lines}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--write", action="store_true", help="put the results into docs/performance.md")
    arguments.add_argument("--warm", action="store_true", help="leave out the deployment that finds an empty cache")
    arguments.add_argument("--minutes", type=int, default=0, help="for how long to watch the memory")
    main(arguments.parse_args())
