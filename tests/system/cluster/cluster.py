"""Six lab hosts that the playbooks have made one pipeline of, by the cluster's own inventory or a part of it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from support.repository import ANSIBLE, ROOT
from support.waiting import eventually
from system.host import Host

INVENTORY: dict[str, Any] = yaml.safe_load((ANSIBLE / "inventories" / "cluster" / "hosts.yml").read_text())
_GROUPS: dict[str, Any] = INVENTORY["all"]["children"]
_LAB: dict[str, Any] = _GROUPS["lab"]
BRIDGE: str = _LAB["vars"]["lab_host_bridge"]
ADDRESSES: dict[str, str] = {name: host["lab_host_address"] for name, host in _LAB["hosts"].items()}
KAFKA, SPARK = list(_GROUPS["kafka"]["hosts"]), list(_GROUPS["spark_worker"]["hosts"])
(DATABASE,) = _GROUPS["postgresql"]["hosts"]
(DRIVER,) = _GROUPS["consumer"]["hosts"]
BROKER, WORKER, MASTER = "market-pulse-kafka", "market-pulse-spark-worker", "market-pulse-spark-master"
CONSUMER, PRODUCER = "market-pulse-consumer", "market-pulse-producer"
# The unit of each tier whose hosts have one.
_UNITS = {
    "kafka": BROKER,
    "spark_master": MASTER,
    "spark_worker": WORKER,
    "consumer": CONSUMER,
    "producer": PRODUCER,
    "simulator": "market-pulse-simulator",
}
_SECONDS = 2400
# A node that comes back reads what it has missed.
_IN_STEP_SECONDS = 60
_KAFKA = "--bootstrap-server {address}:9094 --command-config /etc/market-pulse/kafka/admin.properties"
_TOPIC = "market.bars"


def inventory_of(hosts: Iterable[str]) -> dict[str, Any]:
    """Return the cluster's inventory as a firm has it that owns these hosts alone."""
    mine = set(hosts)
    inventory = deepcopy(INVENTORY)
    for group in inventory["all"]["children"].values():
        group["hosts"] = {name: host for name, host in group["hosts"].items() if name in mine}
    return inventory


class Cluster:
    """The hosts, and the playbooks that are run on them; what they print goes to a log that a failure names."""

    def __init__(self, directory: Path, lab: str) -> None:
        """Take an empty folder for inventories, log and sockets, and the lab's name; nothing is run yet."""
        self._directory = directory
        self._lab = ROOT / ".lab" / lab
        self._log = directory / "ansible.log"
        self._hosts = list(ADDRESSES)

    @property
    def database(self) -> Host:
        """The host of PostgreSQL, the producer and the simulator."""
        return self.host(DATABASE)

    @property
    def brokers(self) -> list[str]:
        """The brokers that the inventory has now."""
        return [name for name in KAFKA if name in self._hosts]

    def host(self, name: str) -> Host:
        """Return one of the hosts."""
        return Host.in_lab(self._lab, name, self._directory)

    def has(self, hosts: Iterable[str]) -> None:
        """Have the inventory name these hosts alone from now on."""
        self._hosts = list(hosts)

    def up(self) -> str:
        """Make the hosts that are not there yet, with their secrets and certificates."""
        return self.play("lab_up.yml", "secrets.yml")

    def converge(self) -> str:
        """Deploy all of it."""
        return self.play("site.yml")

    def down(self) -> None:
        """Remove every host of the lab."""
        self.has(ADDRESSES)
        self.play("lab_down.yml")

    def assert_idempotent(self) -> None:
        """Deploy it again, and require that this changes nothing on any host."""
        recap = re.findall(r"(\S+)\s+: ok=\d+\s+changed=(\d+)", self.converge())
        assert {host for host, _ in recap} == set(self._hosts), f"the recap is of other hosts: {recap}"
        assert [host for host, changed in recap if changed != "0"] == [], f"a second run changed something: {recap}"

    def play(self, *playbooks: str) -> str:
        """Run playbooks of ours on the hosts that the inventory has, and return what they printed."""
        inventory = inventory_of(self._hosts)
        # It says where it is by the folder that it is written to.
        inventory["all"]["children"]["lab"]["vars"]["lab_host_directory"] = str(self._lab)
        path = self._directory / "cluster" / "hosts.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(inventory))
        program = Path(sys.executable).with_name("ansible-playbook")
        done = subprocess.run(
            [program, "-i", path, *playbooks],
            cwd=ANSIBLE,
            env=os.environ | {"ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        printed = done.stdout + done.stderr
        with self._log.open("a") as log:
            log.write(f"\n$ {' '.join(playbooks)}\n{printed}")
        assert done.returncode == 0, f"{playbooks} failed, the whole of it is in {self._log}:\n{printed[-6000:]}"
        return printed

    def await_running(self, *, within: float) -> None:
        """Wait until every unit of every host is up."""
        for group, unit in _UNITS.items():
            for name in _GROUPS[group]["hosts"]:
                if name in self._hosts:
                    self.host(name).await_running(unit, within=within)

    def kafka(self, command: str, arguments: str, *, at: str = KAFKA[0]) -> str:
        """Run one of Kafka's own commands on a broker's host."""
        options = _KAFKA.format(address=ADDRESSES[at])
        return self.host(at).run(f"/opt/kafka/bin/kafka-{command}.sh {options} {arguments}")

    def replicas(self, *, at: str = KAFKA[0]) -> dict[int, tuple[set[int], set[int]]]:
        """Return by partition of the topic the brokers that have it, and those that are in step."""
        described = self.kafka("topics", f"--describe --topic {_TOPIC}", at=at)
        rows = re.findall(r"Partition: (\d+).*?Replicas: ([\d,]+)\s+Isr: ([\d,]*)", described)
        return {
            int(number): ({int(node) for node in have.split(",")}, {int(node) for node in step.split(",") if node})
            for number, have, step in rows
        }

    def await_in_step(self, *, on: set[int], at: str = KAFKA[0]) -> None:
        """Wait until every partition is on these nodes, all of them in step."""

        def are_in_step() -> bool:
            found = self.replicas(at=at)
            behind = {number: nodes for number, nodes in found.items() if nodes != (on, on)}
            assert found, "the topic has no partition"
            assert not behind, f"partitions that are elsewhere or not in step: {behind}"
            return True

        eventually(are_in_step, within=_IN_STEP_SECONDS, what="every replica is in step", every=2)

    def voters(self, *, at: str = KAFKA[0]) -> set[int]:
        """Return the nodes that vote on the metadata."""
        status = self.kafka("metadata-quorum", "describe --status", at=at)
        (line,) = [line for line in status.splitlines() if line.startswith("CurrentVoters:")]
        return {voter["id"] for voter in json.loads(line.removeprefix("CurrentVoters:"))}
