"""One host of the database or several: what clients are told of it, and whom a promotion refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.preflight import play
from support.repository import ANSIBLE, ROOT, group_vars, role_vars

TIERS = group_vars("pipeline")["market_pulse_tiers"]
ADDRESSES = {"db1": "192.0.2.7", "db2": "192.0.2.8", "db3": "192.0.2.9", "db4": "192.0.2.10"}


def inventory_in(folder: Path, **groups: list[str]) -> Path:
    """Write an inventory in which the first host is everything that is not said otherwise, but no standby."""
    members = {tier: ["db1"] for tier in TIERS if tier != "postgresql_standby"} | groups
    hosts = {name: {"ansible_host": ADDRESSES[name]} for names in members.values() for name in names}
    children = {name: {"hosts": dict.fromkeys(names)} for name, names in members.items()}
    path = folder / "hosts.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": hosts, "children": children}}))
    return path


def told(inventory: Path, what: str = "market_pulse_database_host", **environment: str) -> object:
    """Return a variable of the first host as Ansible makes it of the shared facts and of two roles' own."""
    command = [Path(sys.executable).with_name("ansible"), "db1", "-i", inventory, "--playbook-dir", ANSIBLE]
    command += ["-c", "local", "-m", "ansible.builtin.debug", "-a", f"var={what}"]
    command += [f"-e@{ANSIBLE}/roles/{role}/vars/main.yml" for role in ("postgresql", "firewall")]
    environment |= {
        "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
    }
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return first_result(done.stdout)[what]


def first_result(printed: str) -> dict[str, Any]:
    """Return how the first task of the only play that was run has ended on the first host."""
    (only,) = json.JSONDecoder().raw_decode(printed, printed.index("{"))[0]["plays"]
    found: dict[str, Any] = only["tasks"][0]["hosts"]["db1"]
    return found


def test_one_host_is_reached_as_before(tmp_path: Path) -> None:
    assert told(inventory_in(tmp_path)) == "127.0.0.1"
    assert told(inventory_in(tmp_path, postgresql_standby=[])) == "127.0.0.1"


@pytest.mark.parametrize("rules", ["_postgresql_access", "_firewall_peers"])
def test_a_second_run_writes_the_same_rules(tmp_path: Path, rules: str) -> None:
    """Sets are in another order in each process."""
    inventory = inventory_in(tmp_path, postgresql_standby=["db2", "db3", "db4"])
    written = [told(inventory, rules, PYTHONHASHSEED=seed) for seed in ("1", "2", "3")]
    assert written[0]
    assert written == [written[0]] * 3


def test_of_several_hosts_clients_know_all(tmp_path: Path) -> None:
    assert told(inventory_in(tmp_path, postgresql_standby=["db2"])) == "192.0.2.7,192.0.2.8"


@pytest.mark.parametrize(
    ("standbys", "host", "words"),
    [
        (["db2"], "db1", 'host is "db1": say by -e host=… which standby is to be the primary: db2'),
        (["db2"], "", "which standby is to be the primary: db2"),
        ([], "db2", "the inventory has none in its group postgresql_standby"),
    ],
)
def test_only_a_standby_is_promoted(tmp_path: Path, standbys: list[str], host: str, words: str) -> None:
    inventory = inventory_in(tmp_path, postgresql_standby=standbys)
    printed = play("promote.yml", inventory, returns=2, variables={"host": host} if host else {})
    assert words in first_result(printed)["msg"]


_IN_ORDER = "Database cluster state: shut down\\nLatest checkpoint location: 0/3000060\\n"
_FENCED = """
- hosts: db1
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: postgresql, tasks_from: ended}
    - ansible.builtin.fail: {msg: "ended at {{ __postgresql_ended_at | default('nobody knows') }}"}
"""


@pytest.mark.parametrize(
    ("told", "accepted", "said"),
    [
        (f"printf '{_IN_ORDER}'", False, "ended at 0/3000060"),
        ("echo 'Database cluster state: in crash recovery'", False, "did not end in order"),
        ("echo 'Database cluster state: in crash recovery'", True, "ended at nobody knows"),
        ("exit 1", False, "To go on without it: -e postgresql_accept_behind=true"),
        ("exit 1", True, "ended at nobody knows"),
    ],
)
def test_an_old_primary_that_did_not_end_in_order_keeps_nobody_from_a_promotion(
    tmp_path: Path,
    told: str,
    accepted: bool,  # noqa: FBT001 - a parameter of the test
    said: str,
) -> None:
    program = tmp_path / "pg_controldata"
    program.write_text(f"#!/bin/sh\n{told}\n")
    program.chmod(0o755)
    (tmp_path / "fence.yml").write_text(_FENCED)
    variables = {
        "_postgresql_bin": str(tmp_path),
        "_postgresql_data": "none",
        "postgresql_accept_behind": accepted,
    }
    inventory = inventory_in(tmp_path, postgresql_standby=["db2"])
    printed = play(str(tmp_path / "fence.yml"), inventory, returns=2, variables=variables)
    (only,) = json.JSONDecoder().raw_decode(printed, printed.index("{"))[0]["plays"]
    ((failed,),) = [task["hosts"].values() for task in only["tasks"] if task["hosts"]["db1"].get("failed")]
    assert said in failed["msg"]


def test_what_the_page_says_of_standbys_is_so() -> None:
    page = (ROOT / "docs/standby.md").read_text()
    defaults = yaml.safe_load((ANSIBLE / "roles/postgresql/defaults/main.yml").read_text())
    assert f"`postgresql_standby_wal_gibibytes`, {defaults['postgresql_standby_wal_gibibytes']}:" in page
    variables = role_vars("postgresql")
    for name in ("postgresql_replace_data", "postgresql_accept_behind"):
        assert f"-e {name}=" in page
        assert name in defaults
    assert "-e old_primary_is_off=true" in page
    # A report is ended there when bi_reader's own limit ends it on the primary.
    limit = variables["_postgresql_replication"]["max_standby_streaming_delay"]
    assert f"ALTER ROLE bi_reader SET statement_timeout = '{limit}';" in (ROOT / "sql/callbacks/roles.sql").read_text()
