"""How long the demo on a lab host takes to stand, role by role, and how much memory each of its units has.

Not run by ``make bench``, for it takes a quarter of an hour and the place of ``make up``:
``python tests/bench/deploy.py --write``. The first deployment finds an empty cache, the second one a full one, and the
third finds everything done.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import yaml

from bench import page
from support.repository import ANSIBLE, ROOT
from system.cluster.load import Load
from system.host import Host

_INVENTORY = ANSIBLE / "inventories" / "lab" / "hosts.yml"
_SITE = "ansible-playbook -i ansible/inventories/lab ansible/site.yml"
_TOLD = {"PROFILE_TASKS_TASK_OUTPUT_LIMIT": "all", "ANSIBLE_NOCOLOR": "1"}
# A task's line among those of the callback that ansible.cfg names; one of a play's own has no role.
_TASK = re.compile(r"^(?:(\w+) : )?\S.* -+ +([\d.]+)s$", re.MULTILINE)
_PER_SECOND = 200
# What processes have for themselves and what they have of files in memory, in MiB by unit.
_MEMORY = r"""
systemctl list-units 'market-pulse-*.service' 'postgresql@*' --state=running --no-legend --plain | while read -r unit _
do
    group=$(systemctl show --property=ControlGroup --value "$unit")
    awk -v unit="$unit" '/^(anon|file_mapped) / { sum += $2 } END { print unit, int(sum / 1048576) }' \
        "/sys/fs/cgroup$group/memory.stat"
done
"""


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
    roles: dict[str, float] = {}
    # One table for each playbook of the command.
    for role, taken in _TASK.findall(done.stdout):
        roles[role or "the plays' own"] = roles.get(role or "the plays' own", 0) + float(taken)
    print(f"{name}: {seconds:.0f} s", flush=True)
    return Step(name, seconds, roles)


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


def memory(host: Host) -> dict[str, int]:
    """Return the memory of each unit in MiB."""
    return {unit: int(size) for unit, size in (line.split() for line in host.run(_MEMORY).splitlines())}


def memory_table(idle: Mapping[str, int], loaded: Mapping[str, int]) -> str:
    """Return the memory by unit, the largest first."""
    rows = [[f"`{unit}`", str(idle.get(unit, "")), str(size)] for unit, size in sorted(loaded.items(), key=_second)]
    rows.append(["all of them", str(sum(idle.values())), str(sum(loaded.values()))])
    return _table(["unit", "idle, MiB", f"at {_PER_SECOND} bars a second, MiB"], rows)


def _second(item: tuple[str, int]) -> int:
    return -item[1]


def _table(titles: list[str], rows: list[list[str]]) -> str:
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


@contextmanager
def lab(environment: Mapping[str, str]) -> Iterator[list[Step]]:
    """Deploy the demo three times, and remove it when the block ends."""
    if (ROOT / ".lab" / "demo").exists():
        sys.exit("`make down` first: the demo stands already")
    try:
        steps = [timed("empty cache", "make up", environment)]
        subprocess.run(["make", "down"], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        steps.append(timed("full cache", "make up", environment))
        steps.append(timed("once more", _SITE, environment))
        yield steps
    finally:
        subprocess.run(["make", "down"], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


def main(wish: argparse.Namespace) -> None:
    """Measure, print, and write it down if that is wished."""
    hosts = yaml.safe_load(_INVENTORY.read_text())["all"]["children"]["lab"]["hosts"]
    ((name, variables),) = hosts.items()
    with tempfile.TemporaryDirectory(prefix="mp-bench-") as place:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
            "MARKET_PULSE_CACHE": f"{place}/cache",
        }
        with lab(environment) as steps:
            host = Host.in_lab(ROOT / ".lab" / "demo", name, Path(place))
            time.sleep(wish.seconds)
            idle = memory(host)
            bars = _PER_SECOND * wish.seconds
            load = Load.begin(host, f"{variables['lab_host_address']}:9092", bars=bars, per_second=_PER_SECOND)
            time.sleep(wish.seconds)
            loaded = memory(host)
            load.end()
    told = {"deploy": steps_table(steps), "memory": memory_table(idle, loaded)}
    for section, text in told.items():
        print(text)
        if wish.write:
            page.put(section, f"As of {datetime.now(UTC).date().isoformat()}:\n\n{text}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=120, help="how long it is left idle, and under load")
    arguments.add_argument("--write", action="store_true", help="put the results into docs/performance.md")
    main(arguments.parse_args())
