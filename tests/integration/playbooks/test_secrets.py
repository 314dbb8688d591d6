"""A deployment's secrets: its operator's own, and a vault that does not open is named."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.preflight import SECRET, Results, play, refused
from support.repository import ANSIBLE


def inventory_in(folder: Path) -> Path:
    """Write the example's inventory, with its secrets beside it; Ansible becomes who may not read them."""
    inventory = folder / "mine" / "hosts.yml"
    example = yaml.safe_load((ANSIBLE / "inventories/example/hosts.yml").read_text())
    assert example["all"]["vars"]["ansible_become"] is True
    example["all"]["vars"] |= {
        "ansible_become_user": "daemon",
        "market_pulse_secrets_directory": str(folder / "secrets"),
        "vault_market_pulse_vendor_api_key": SECRET,
    }
    inventory.parent.mkdir()
    inventory.write_text(yaml.safe_dump(example))
    return inventory


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the playbook makes for that inventory, once."""
    folder = tmp_path_factory.mktemp("secrets")
    play("secrets.yml", inventory_in(folder), returns=0)
    return folder / "secrets"


@pytest.fixture
def deployment(secrets: Path, tmp_path: Path) -> Path:
    """That inventory, with a copy of its secrets that a test may damage."""
    shutil.copytree(secrets, tmp_path / "secrets")
    return inventory_in(tmp_path)


def preflight_of(deployment: Path) -> Results:
    """Return what Preflight says to a host that is no Debian."""
    directory = deployment.with_name("preflight")
    directory.mkdir()
    facts = {"bars.example.net": {"ansible_distribution": "Ubuntu"}}
    return refused(directory, yaml.safe_load(deployment.read_text())["all"], facts)


def test_secrets_are_the_operators_own_whoever_ansible_becomes(deployment: Path) -> None:
    secrets = deployment.parents[1] / "secrets"
    found = {
        str(path.relative_to(secrets)): (path.stat().st_uid, path.stat().st_mode & 0o777) for path in secrets.rglob("*")
    }
    assert found == {
        "certificates": (os.getuid(), 0o700),
        "certificates/bars.example.net.crt": (os.getuid(), 0o644),
        "certificates/bars.example.net.key": (os.getuid(), 0o600),
        "certificates/kafka": (os.getuid(), 0o700),
        "certificates/kafka/bars.example.net.crt": (os.getuid(), 0o644),
        "certificates/kafka/bars.example.net.key": (os.getuid(), 0o600),
        "certificates/ca.crt": (os.getuid(), 0o644),
        "certificates/ca.key": (os.getuid(), 0o600),
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


def test_a_vault_of_before_is_given_what_it_lacks_and_keeps_the_rest(deployment: Path) -> None:
    secrets = deployment.parents[1] / "secrets"
    # Whatever else the operator keeps there.
    before = vault(secrets, "view").replace("vault_market_pulse_kafka_monitor_password: ", "note: ") + "# mine\n"
    vault(secrets, "encrypt", "--output", str(secrets / "vault.yml"), stdin=before)
    play("secrets.yml", deployment, returns=0)
    after = vault(secrets, "view")
    assert after.startswith(before)
    (added,) = after.removeprefix(before).split()[::2]
    assert added == "vault_market_pulse_kafka_monitor_password:"
    play("secrets.yml", deployment, returns=0)
    assert vault(secrets, "view") == after


def vault(secrets: Path, action: str, *arguments: str, stdin: str | None = None) -> str:
    """Run ansible-vault on a vault, or on standard input instead, and return what it prints."""
    command = [Path(sys.executable).with_name("ansible-vault"), action]
    command += ["--vault-password-file", secrets / "vault-password", *arguments]
    command += [secrets / "vault.yml"] if stdin is None else []
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("password", ["another one", None])
def test_a_vault_that_does_not_open_names_both_files(deployment: Path, password: str | None) -> None:
    secrets = deployment.parents[1] / "secrets"
    (secrets / "vault-password").unlink()
    if password is not None:
        (secrets / "vault-password").write_text(password)
    (result,) = preflight_of(deployment)["preflight : Refuse a vault that does not open"].values()
    for words in (f"{secrets}/vault-password", f"{secrets}/vault.yml", "market_pulse_secrets_directory"):
        assert words in result["msg"]
