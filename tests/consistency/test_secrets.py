"""A deployment's secrets: its operator's own, and a vault that does not open is named."""

import os
from pathlib import Path

import pytest
import yaml

from support.preflight import SECRET, Results, play, refused
from support.repository import ANSIBLE


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    """The example's inventory with its secrets made, on a host where Ansible becomes a user who may not read them."""
    inventory = tmp_path / "mine" / "hosts.yml"
    example = yaml.safe_load((ANSIBLE / "inventories/example/hosts.yml").read_text())
    assert example["all"]["vars"]["ansible_become"] is True
    example["all"]["vars"] |= {
        "ansible_become_user": "daemon",
        "market_pulse_secrets_directory": str(tmp_path / "secrets"),
        "vault_market_pulse_vendor_api_key": SECRET,
    }
    inventory.parent.mkdir()
    inventory.write_text(yaml.safe_dump(example))
    play("secrets.yml", inventory, returns=0)
    return inventory


def preflight_of(deployment: Path) -> Results:
    """Return what Preflight says to a host that is no Debian."""
    directory = deployment.with_name("preflight")
    directory.mkdir()
    facts = {"bars.example.net": {"ansible_distribution": "Ubuntu"}}
    return refused(directory, yaml.safe_load(deployment.read_text())["all"], facts)


def test_secrets_are_the_operators_own_whoever_ansible_becomes(deployment: Path) -> None:
    secrets = deployment.parents[1] / "secrets"
    assert {path.name: (path.stat().st_uid, path.stat().st_mode & 0o777) for path in secrets.iterdir()} == {
        "vault-password": (os.getuid(), 0o600),
        "vault.yml": (os.getuid(), 0o600),
    }
    (result,) = preflight_of(deployment)["preflight : Refuse what cannot work"].values()
    # The vault was read: all that is left is what this test has broken, and that the vendor's key is empty in it.
    assert [sentence.split(":")[0] for sentence in result["msg"]] == [
        "market_pulse_vendor_api_key is missing or empty",
        "the host runs Ubuntu 13",
        "ansible_host is '192.168.10.20', and the host has 192.0.2.7",
    ]


@pytest.mark.parametrize("password", ["another one", None])
def test_a_vault_that_does_not_open_names_both_files(deployment: Path, password: str | None) -> None:
    secrets = deployment.parents[1] / "secrets"
    (secrets / "vault-password").unlink()
    if password is not None:
        (secrets / "vault-password").write_text(password)
    (result,) = preflight_of(deployment)["preflight : Refuse a vault that does not open"].values()
    for words in (f"{secrets}/vault-password", f"{secrets}/vault.yml", "market_pulse_secrets_directory"):
        assert words in result["msg"]
