"""A lab of two hosts, one of each supported Debian: made, used, made again, rebooted, and gone without a trace."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from support.repository import ROOT, group_vars
from support.waiting import eventually
from system.traces import traces

HOSTS = {
    f"mp-labtest-{release}": {"lab_host_debian": release, "lab_host_address": f"10.77.9.{release}"}
    for release in group_vars("versions")["debian_releases"]
}


class Lab:
    """A lab of its own, beside the demo's and the other tests'."""

    def __init__(self, directory: Path) -> None:
        lab = {
            "lab_host_directory": str(directory / "lab"),
            "lab_host_bridge": "mp-labtest",
            "lab_host_network": "10.77.9.0/24",
            "lab_host_gateway": "10.77.9.1",
        }
        self.inventory = directory / "hosts.yml"
        self.inventory.write_text(yaml.safe_dump({"all": {"children": {"lab": {"vars": lab, "hosts": HOSTS}}}}))
        self.directory = directory / "lab"

    def play(self, playbook: str) -> str:
        """Run a playbook of the repository on the lab, and return what it printed."""
        command = [
            Path(sys.executable).with_name("ansible-playbook"),
            "-i",
            self.inventory,
            ROOT / "ansible" / playbook,
        ]
        environment = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible" / "ansible.cfg")}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ssh(self, host: str, command: str) -> str:
        """Return what a command on a host prints; it may fail while the host is down."""
        config = self.directory / "hosts" / host / "ssh_config"
        ssh = ["ssh", "-F", config, "-o", "ConnectTimeout=2", host, command]
        return subprocess.run(ssh, capture_output=True, text=True, check=False, timeout=60).stdout.strip()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("labtest"))
    found = partial(traces, "mp-labtest", "mp-labtest-", str(made.directory))
    before = found()
    try:
        made.play("lab_up.yml")
        yield made
    finally:
        made.play("lab_down.yml")
    assert found() == before
    assert not made.directory.exists()


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_runs_its_own_systemd_and_has_a_way_out(lab: Lab, host: str) -> None:
    assert lab.ssh(host, "systemctl is-system-running") == "running"
    assert lab.ssh(host, ". /etc/os-release; echo $VERSION_ID") == HOSTS[host]["lab_host_debian"]
    assert lab.ssh(host, "hostname; systemctl show -P Version dbus >/dev/null && echo systemd") == f"{host}\nsystemd"
    assert lab.ssh(host, "apt-get -q update >/dev/null && echo reached") == "reached"


def test_hosts_do_not_see_each_others_processes(lab: Lab) -> None:
    first, second = HOSTS
    lab.ssh(first, "systemd-run --unit=probe sleep 600")
    assert lab.ssh(second, "systemctl is-active probe") == "inactive"
    lab.ssh(second, "systemctl daemon-reexec")
    assert lab.ssh(first, "systemctl is-active probe") == "active"


def test_made_again_it_changes_nothing(lab: Lab) -> None:
    assert lab.play("lab_up.yml").count("changed=0") == len(HOSTS)


def test_a_reboot_comes_back(lab: Lab) -> None:
    host = next(iter(HOSTS))
    started = lab.ssh(host, "systemctl show -P UserspaceTimestampMonotonic")
    lab.ssh(host, "systemctl reboot")
    eventually(
        lambda: lab.ssh(host, "systemctl show -P UserspaceTimestampMonotonic") not in ("", started),
        what="the host's return",
        within=60,
    )
    assert lab.ssh(host, "systemctl is-system-running --wait") == "running"
