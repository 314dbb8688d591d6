"""A deployment that is taken off its host: nothing stays but data, with which a second one goes on; then not even they.

On a lab host of its own, compared with what it was when it had Debian's packages and nothing else of ours.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pytest
import yaml

from support.repository import ANSIBLE, group_vars
from support.waiting import eventually
from system.deployment import INVENTORY
from system.host import Host

pytestmark = pytest.mark.slow

NAME, BRIDGE, NETWORK = "mp-plan", "mp-plan", "10.77.6."
# What changes on any host that runs, and what programs make of files that packages brought.
VOLATILE = (
    *("/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/var/tmp", "/var/log", "/var/cache"),
    *("/var/lib/apt", "/var/lib/dpkg", "/var/lib/systemd", "/var/lib/private", "/etc/ld.so.cache"),
    # Whether a package's service is on or off.
    "/etc/rc?.d",
)
# Of the packages, which stay; without a cluster nothing of the database's has to be started.
TAKEN_FROM_PACKAGES = {"/etc/pgbackrest.conf", "/etc/systemd/system/multi-user.target.wants/postgresql.service"}
DATA = ["/etc/market-pulse/simulated-market-began", "/var/lib/market-pulse", "/var/lib/pgbackrest"]


@dataclass(frozen=True)
class Removal:
    """A lab of one host; `name` is the inventory's, which has to be typed."""

    inventory: Path
    host: Host

    @property
    def name(self) -> str:
        return self.inventory.parent.name

    def play(self, playbook: str, *arguments: str, fails: bool = False) -> str:
        """Run a playbook and return what it printed."""
        done = subprocess.run(
            self._command(playbook, *arguments),
            cwd=ANSIBLE,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert (done.returncode != 0) is fails, printed[-6000:]
        return printed

    def uninstall(self, *arguments: str) -> int:
        """Uninstall, and return how many tasks changed something."""
        printed = self.play("uninstall.yml", "-e", f"confirm={self.name}", *arguments)
        return sum(map(int, re.findall(r"changed=(\d+)", printed)))

    def uninstall_until(self, task: str, *arguments: str) -> None:
        """Uninstall, and be killed when a task begins."""
        command = self._command("uninstall.yml", "-e", f"confirm={self.name}", *arguments)
        with subprocess.Popen(command, cwd=ANSIBLE, env=_environment(), stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            told: list[str] = []
            while not told or f" : {task}]" not in told[-1]:
                told.append(running.stdout.readline())
                assert told[-1], f"no task {task!r}: {''.join(told)[-6000:]}"
            # Its workers have sessions of their own, and go on with their task beside the next run.
            running.kill()

    def _command(self, playbook: str, *arguments: str) -> list[str]:
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        return [program, "-i", str(self.inventory), playbook, *arguments]


def _environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}


@dataclass(frozen=True)
class Look:
    """A host as somebody sees it who looks for traces."""

    files: frozenset[str]
    users: frozenset[str]
    units: frozenset[str]
    listening: frozenset[str]
    tables: frozenset[str]

    @classmethod
    def at(cls, host: Host) -> "Look":
        pruned = " -o ".join(f"-path '{folder}'" for folder in VOLATILE)
        files = host.run(rf"find / -xdev \( {pruned} -o -name __pycache__ \) -prune -o -print").splitlines()
        return cls(
            files=frozenset(files),
            users=frozenset(host.run("getent passwd | cut -d: -f1; getent group | cut -d: -f1").split()),
            units=frozenset(host.run("systemctl list-unit-files --plain --no-legend | cut -d' ' -f1").split()),
            listening=frozenset(host.run("ss -Hltnu | awk '{print $1, $5}'").splitlines()),
            tables=frozenset(host.run("nft list tables").splitlines()),
        )


def packages() -> list[str]:
    """Return Debian's packages that the roles install."""
    found: list[str] = []
    versions = group_vars("versions")["debian_releases"]["13"]
    jinja = jinja2.Environment(undefined=jinja2.ChainableUndefined, autoescape=False)  # noqa: S701 - names, no page
    facts = {"distribution_major_version": "13"}
    values = {
        "debian_releases": {"13": versions},
        "ansible_facts": facts,
        "_postgresql_version": versions["postgresql"],
    }
    for path in (ANSIBLE / "roles").glob("*/tasks/*.yml"):
        for task in yaml.safe_load(path.read_text()):
            names = task.get("vars", {}).get("packages_names", [])
            found += [jinja.from_string(name).render(values) for name in names]
    assert found, "no role calls the role packages"
    return found


@pytest.fixture(scope="module")
def removal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Removal]:
    directory = tmp_path_factory.mktemp("removal")
    text = (ANSIBLE / "inventories/lab/hosts.yml").read_text()
    for demo, other in (("market-pulse-demo", NAME), ("mp-demo", BRIDGE), ("10.77.1.", NETWORK)):
        text = text.replace(demo, other)
    inventory = yaml.safe_load(text)
    inventory["all"]["children"]["lab"]["vars"]["lab_host_directory"] = str(directory / "lab")
    # Two deployments take longer than the demo's market is open.
    inventory["all"]["vars"]["market_pulse_clock_speed"] = INVENTORY["all"]["vars"]["market_pulse_clock_speed"]
    (directory / "fleet").mkdir()
    (directory / "fleet/hosts.yml").write_text(yaml.safe_dump(inventory))
    ssh = ("ssh", "-q", "-F", str(directory / f"lab/hosts/{NAME}/ssh_config"), NAME)
    lab = Removal(directory / "fleet/hosts.yml", Host(ssh))
    try:
        lab.play("lab_up.yml")
        yield lab
    finally:
        lab.play("lab_down.yml")
        # Workers of the runs that were killed wait for ever for their next task.
        subprocess.run(["pkill", "--full", str(directory / "fleet")], check=False)


@pytest.fixture(scope="module")
def before(removal: Removal) -> Look:
    """The host with Debian's packages, and no cluster of PostgreSQL's."""
    install = f"apt-get -qq update && apt-get -qq -y --no-install-recommends install {' '.join(packages())}"
    removal.host.run(f"export DEBIAN_FRONTEND=noninteractive; {install}", timeout=900)
    removal.host.run("pg_lsclusters -h | while read -r version name _; do pg_dropcluster --stop $version $name; done")
    removal.host.run("systemctl enable --now nftables.service")
    return Look.at(removal.host)


@pytest.fixture(scope="module")
def deployed(removal: Removal, before: Look) -> Look:
    """The same with bars in the database."""
    removal.play("secrets.yml")
    removal.play("site.yml")
    await_bars(removal.host, 0)
    now = Look.at(removal.host)
    assert {"market-pulse.target", "market-pulse-kafka.service"} <= now.units - before.units
    assert {"market-pulse-kafka", "market-pulse-producer"} <= now.users - before.users
    return now


def bars(host: Host) -> int:
    return host.number("SELECT count(*) FROM market.bar")


def await_bars(host: Host, more_than: int) -> None:
    def stored() -> bool:
        found = bars(host)
        assert found > more_than, found
        return True

    eventually(stored, within=240, what=f"more than {more_than} bars", every=2)


def left(host: Host, before: Look) -> set[str]:
    """Return the files that the host did not have, without what they are in."""
    now = Look.at(host).files
    return {
        path for path in now - before.files if not any(other.startswith(f"{path}/") for other in now - before.files)
    }


def assert_gone(host: Host, before: Look) -> None:
    now = Look.at(host)
    assert now.users == before.users
    assert now.units == before.units
    assert now.listening == before.listening
    assert now.tables == before.tables
    assert host.failed_units() == ""
    assert host.run("find /run -name 'market-pulse*'") == ""


def test_nothing_is_removed_that_was_not_named(removal: Removal, deployed: Look) -> None:
    for arguments in ((), ("-e", "confirm=lab"), ("-e", "purge=true")):
        said = " ".join(removal.play("uninstall.yml", *arguments, fails=True).split())
        assert f"takes market-pulse off {NAME}" in said
        assert "-e confirm=fleet" in said
    assert Look.at(removal.host).units == deployed.units


def test_a_dry_run_tells_what_would_go_and_takes_nothing(removal: Removal, deployed: Look) -> None:
    assert removal.uninstall("--check") > 0
    now = Look.at(removal.host)
    assert (now.users, now.units) == (deployed.users, deployed.units)
    await_bars(removal.host, bars(removal.host))


@pytest.mark.timeout(1800)
def test_what_stays_is_data_and_a_second_deployment_goes_on_with_them(removal: Removal, before: Look) -> None:
    host = removal.host
    topic, cluster = (
        "SELECT DISTINCT topic_id FROM market.stream_position",
        "cat /var/lib/market-pulse/kafka/data/meta.properties",
    )
    known, formatted, count = host.sql(topic), host.run(cluster), bars(host)

    assert removal.uninstall() > 0
    assert_gone(host, before)
    others = [
        path for path in left(host, before) if not path.startswith((*DATA, "/var/lib/postgresql/", "/etc/postgresql/"))
    ]
    assert others == []
    assert host.run("find /var/lib/market-pulse ! -user root") == ""
    assert host.run("find /etc/postgresql /etc/market-pulse -name '*.key' -o -name 'mp_*'") == ""
    assert removal.uninstall() == 0
    assert removal.uninstall("--check") == 0

    removal.play("site.yml")
    assert host.run(cluster) == formatted
    assert host.sql(topic) == known
    assert bars(host) >= count
    await_bars(host, bars(host))
    assert "FAILED" not in host.run("market-pulse verify", check=False)


@pytest.mark.timeout(1800)
def test_a_purge_that_was_cut_short_is_finished_by_the_next_and_leaves_nothing(removal: Removal, before: Look) -> None:
    removal.uninstall_until("Remove their files", "-e", "purge=true")
    removal.uninstall_until("Drop the cluster, with all its databases", "-e", "purge=true")
    assert removal.uninstall("-e", "purge=true") > 0
    assert_gone(removal.host, before)
    assert left(removal.host, before) == set()
    assert before.files - Look.at(removal.host).files <= TAKEN_FROM_PACKAGES
    assert removal.uninstall("-e", "purge=true") == 0
