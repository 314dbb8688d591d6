"""The firewall's rules as the role writes them for every host of the cluster's inventory, and of one host alone."""

import re
from pathlib import Path

import pytest
import yaml

from support.preflight import play
from support.repository import ANSIBLE, group_vars

PORTS: dict[str, int] = group_vars("pipeline")["market_pulse_ports"]
CLUSTER = yaml.safe_load((ANSIBLE / "inventories/cluster/hosts.yml").read_text())["all"]["children"]
ADDRESSES = {name: host["lab_host_address"] for name, host in CLUSTER["lab"]["hosts"].items()}
NAMES = {address: name for name, address in ADDRESSES.items()}
KAFKA = {name for name in ADDRESSES if "kafka" in name}
EVERYBODY = set(ADDRESSES)
_RULE = re.compile(r"ip6? saddr \{ (.+) \} tcp dport \{ (.+) \} accept")

Ways = dict[str, set[str]]


def rules(directory: Path, inventory: str) -> dict[str, list[tuple[str, str]]]:
    """Return by host who may reach which port, a pair for each, as the role's own template has it."""
    tasks = [
        {"ansible.builtin.include_vars": str(ANSIBLE / "roles/firewall" / name / "main.yml")}
        for name in ("defaults", "vars")
    ]
    template = ANSIBLE / "roles/firewall/templates/market-pulse.nft.j2"
    write = {"src": str(template), "dest": f"{directory}/{{{{ inventory_hostname }}}}.nft", "mode": "0644"}
    plays = [
        {
            "hosts": "all",
            "gather_facts": False,
            "vars": {"ansible_become": False},
            "tasks": [*tasks, {"ansible.builtin.template": write}],
        }
    ]
    # These defaults are found beside a playbook, and beside an inventory what that says.
    (directory / "group_vars").symlink_to(ANSIBLE / "group_vars")
    (directory / "rules.yml").write_text(yaml.safe_dump(plays))
    play(str(directory / "rules.yml"), ANSIBLE / "inventories" / inventory, returns=0)
    found = {}
    for path in directory.glob("*.nft"):
        matched = [(sources.split(", "), ports.split(", ")) for sources, ports in _RULE.findall(path.read_text())]
        found[path.stem] = [(source, port) for sources, ports in matched for source in sources for port in ports]
    assert found
    return found


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ways]:
    """By host and port of the cluster's, the hosts that may reach it."""
    opened: dict[str, Ways] = {}
    for host, pairs in rules(tmp_path_factory.mktemp("firewall"), "cluster").items():
        for source, port in pairs:
            if source in NAMES:
                opened.setdefault(host, {}).setdefault(port, set()).add(NAMES[source])
    return opened


@pytest.mark.parametrize("host", sorted(KAFKA))
def test_clients_reach_brokers_and_nodes_alone_reach_nodes(ways: dict[str, Ways], host: str) -> None:
    assert ways[host] == {
        str(PORTS["kafka"]): EVERYBODY - {host},
        str(PORTS["kafka_broker"]): KAFKA - {host},
        str(PORTS["kafka_controller"]): KAFKA - {host},
    }


def test_spark_is_reached_by_spark_alone(ways: dict[str, Ways]) -> None:
    assert ways["mp-spark-1"] == {
        str(PORTS["spark_master"]): {"mp-spark-2"},
        "32768-60999": {"mp-spark-2"},
        str(PORTS["spark_driver"]): {"mp-spark-2"},
        str(PORTS["spark_driver_block_manager"]): {"mp-spark-2"},
    }
    assert ways["mp-spark-2"] == {str(PORTS["spark_worker"]): {"mp-spark-1"}, "32768-60999": {"mp-spark-1"}}


def test_the_database_is_reached_by_everybody_and_the_simulator_by_nobody_else(ways: dict[str, Ways]) -> None:
    assert ways["mp-database"] == {str(PORTS["postgresql"]): EVERYBODY - {"mp-database"}}


def test_a_host_that_is_alone_is_open_to_people_alone(tmp_path: Path) -> None:
    ((_, pairs),) = rules(tmp_path, "lab").items()
    assert sorted(pairs) == [
        ("0.0.0.0/0", "22"),
        ("10.77.1.0/24", str(PORTS["postgresql"])),
        ("::/0", "22"),
    ]
