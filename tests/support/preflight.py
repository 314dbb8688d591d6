"""The real playbook on hosts that exist in an inventory alone, whose facts are said instead of gathered."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from support.repository import ANSIBLE, group_vars

ADDRESS = "192.0.2.7"
SECRET = "do-not-tell"
# Those that a deployment must have.
SECRETS = [
    name for name, value in group_vars("secrets").items() if value.startswith("{{ vault_") and "default" not in value
]
NO_FACTS: Mapping[str, str] = {}
NO_VARIABLES: Mapping[str, object] = {}
# A host that is accepted, in facts as Ansible caches them.
_DEBIAN: dict[str, object] = {
    "ansible_distribution": "Debian",
    "ansible_distribution_major_version": "13",
    "ansible_architecture": "x86_64",
    "ansible_service_mgr": "systemd",
    "ansible_all_ipv4_addresses": [ADDRESS],
    "_ansible_facts_gathered": True,
}

Results = dict[str, dict[str, dict[str, list[str]]]]


def refused(directory: Path, inventory: Mapping[str, object], facts: Mapping[str, Mapping[str, str]]) -> Results:
    """Run the playbook, which must end in its Preflight, and return the results by task and host.

    Args:
        directory: an empty one, for the inventory and the facts.
        inventory: what is under `all`.
        facts: by host, those that differ from an acceptable host's.
    """
    (directory / "facts").mkdir()
    for host, differing in facts.items():
        payload = {"__payload__": json.dumps(_DEBIAN | dict(differing))}
        (directory / "facts" / f"s1_{host}").write_text(json.dumps(payload))
    (directory / "hosts.yml").write_text(yaml.safe_dump({"all": inventory}))
    environment = {"ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(directory / "facts")}
    printed = play("site.yml", directory / "hosts.yml", returns=2, **environment)
    plays = json.JSONDecoder().raw_decode(printed, printed.index("{"))[0]["plays"]
    assert [play["play"]["name"] for play in plays] == ["Preflight"], "a refusal ends the run before any change"
    results: Results = {}
    # A task is told once for all hosts or once for each, as the strategy has it.
    for task in plays[0]["tasks"]:
        results.setdefault(task["task"]["name"], {}).update(task["hosts"])
    return results


def play(
    playbook: str, inventory: Path, *, returns: int, variables: Mapping[str, object] = NO_VARIABLES, **environment: str
) -> str:
    """Run a playbook on hosts that are all this machine, these variables before all others; return what it said."""
    here = ["-e", "ansible_connection=local", "-e", f"ansible_python_interpreter={sys.executable}"]
    here += ["-e", json.dumps(variables)]
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, *here, ANSIBLE / playbook],
        env=os.environ
        | {"ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"), "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == returns, done.stdout + done.stderr
    return done.stdout
