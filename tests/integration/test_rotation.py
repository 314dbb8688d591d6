"""Rotation up to the servers, which are not here: the vault, the certificates, and the credentials of a host."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from support.preflight import SECRETS, play
from support.repository import ANSIBLE, group_vars

GIVEN_BY_OTHERS = {"vault_market_pulse_alert_urls", "vault_market_pulse_vendor_api_key"}
COMMENT = "# the operator's own remark"


@dataclass
class Rehearsal:
    """A deployment whose host is this machine, with its credentials in a folder, and no PostgreSQL."""

    folder: Path

    @property
    def credentials(self) -> Path:
        return self.folder / "credentials"

    @property
    def variables(self) -> dict[str, object]:
        pipeline = group_vars("pipeline")
        return {
            "ansible_become": False,
            "market_pulse_secrets_directory": str(self.folder / "secrets"),
            "market_pulse_paths": pipeline["market_pulse_paths"] | {"credentials": str(self.credentials)},
            # Nobody listens there.
            "market_pulse_ports": pipeline["market_pulse_ports"] | {"postgresql": 1},
        }

    def play(self, playbook: str, *, returns: int, **variables: object) -> str:
        inventory = ANSIBLE / "inventories/example/hosts.yml"
        return play(playbook, inventory, returns=returns, variables=self.variables | variables)

    def vault(self, action: str, *arguments: str) -> str:
        command = [Path(sys.executable).with_name("ansible-vault"), action, *arguments, "--vault-password-file"]
        files = [self.folder / "secrets" / name for name in ("vault-password", "vault.yml")]
        return subprocess.run([*command, *files], capture_output=True, text=True, check=True).stdout

    def values(self) -> dict[str, str]:
        return dict(yaml.safe_load(self.vault("view")))

    def certificates(self) -> dict[str, bytes]:
        folder = self.folder / "secrets" / "certificates"
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    made = Rehearsal(tmp_path_factory.mktemp("rotation"))
    made.play("secrets.yml", returns=0)
    made.vault("decrypt")
    vault = made.folder / "secrets" / "vault.yml"
    vault.write_text(f"{vault.read_text()}{COMMENT}\nvault_market_pulse_alert_urls: |\n  json://one\n  json://two\n")
    made.vault("encrypt")
    made.credentials.mkdir()
    return made


def test_one_secret_is_changed_wherever_it_stands_and_no_other(rehearsal: Rehearsal) -> None:
    before, certificates = rehearsal.values(), rehearsal.certificates()
    name = "vault_market_pulse_postgresql_writer_password"
    for credential, value in (
        ("mp_postgresql_writer_password", before[name]),
        ("mp_as_java_wants_it", f'password="{before[name]}";\n'),
        ("mp_postgresql_monitor_password", before["vault_market_pulse_postgresql_monitor_password"]),
    ):
        (rehearsal.credentials / credential).write_text(value)
    printed = rehearsal.play("rotate.yml", returns=2, secrets="postgresql_writer_password")
    plays = json.JSONDecoder().raw_decode(printed, printed.index("{"))[0]["plays"]
    assert plays[-1]["tasks"][-1]["task"]["name"] == "kafka : Say why somebody may not do what was agreed on"
    after = rehearsal.values()
    assert {key for key in before if before[key] != after[key]} == {name}
    assert len(after[name]) == 32
    assert COMMENT in rehearsal.vault("view")
    assert after["vault_market_pulse_alert_urls"] == "json://one\njson://two\n"
    found = {path.name: path.read_text() for path in rehearsal.credentials.iterdir()}
    assert found == {
        "mp_postgresql_writer_password": after[name],
        "mp_as_java_wants_it": f'password="{after[name]}";\n',
        "mp_postgresql_monitor_password": after["vault_market_pulse_postgresql_monitor_password"],
    }
    assert before[name] not in printed
    assert after[name] not in printed
    assert rehearsal.certificates() == certificates


def test_all_is_what_the_deployment_has_made_itself(rehearsal: Rehearsal) -> None:
    before, certificates = rehearsal.values(), rehearsal.certificates()
    rehearsal.play("rotate.yml", returns=2, secrets="all", certificates=True)
    after = rehearsal.values()
    ours = {f"vault_{name}" for name in SECRETS} - GIVEN_BY_OTHERS
    assert {key for key in before if before[key] != after[key]} == ours
    assert len({after[key] for key in ours}) == len(ours)
    renewed = rehearsal.certificates()
    assert set(renewed) == set(certificates)
    assert {name for name in renewed if renewed[name] == certificates[name]} == {"ca.crt", "ca.key"}


@pytest.mark.parametrize("named", ["", "postgresql_writer_password,vendor_api_key"])
def test_what_is_no_secret_of_ours_is_refused(rehearsal: Rehearsal, named: str) -> None:
    before = rehearsal.values()
    printed = rehearsal.play("rotate.yml", returns=2, secrets=named)
    assert "Say which: -e secrets=all, or some of " in printed
    assert "postgresql_bi_reader_password" in printed
    assert rehearsal.values() == before
