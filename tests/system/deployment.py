"""The lab host that the system tests share: made, deployed and removed by molecule, with the playbook of production."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from support.repository import ANSIBLE, ROOT
from system.host import Host

INVENTORY = yaml.safe_load((ANSIBLE / "molecule" / "hosts.yml").read_text())
SYMBOLS: list[str] = INVENTORY["all"]["vars"]["market_pulse_symbols"]
# On which day its market begins; earlier bars are history that somebody asked for.
MARKET_DAY: str = INVENTORY["all"]["vars"]["market_pulse_clock_market_start"][:10]
_LAB = INVENTORY["all"]["children"]["lab"]
HOST_NAME: str = next(iter(_LAB["hosts"]))
ADDRESS: str = _LAB["hosts"][HOST_NAME]["lab_host_address"]
BRIDGE: str = _LAB["vars"]["lab_host_bridge"]
_SERVICES = sorted((ROOT / "systemd").glob("market-pulse-*.service"))
UNITS = [unit.stem for unit in _SERVICES if "Type=notify" in unit.read_text()]
# What runs to its end, and is then as well as when it runs.
JOBS = [unit.stem for unit in _SERVICES if unit.stem not in UNITS]
_SECONDS = 1500
_SECRETS = ROOT / ".lab" / "molecule" / "secrets"
# Molecule paints whatever it is told about colours.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Deployment:
    """One molecule scenario, action by action; what it prints goes to a log file that a failure names."""

    def __init__(self, scenario: str, log: Path, *, seconds: float = _SECONDS) -> None:
        """Take a scenario's name, and how long an action of it may take; nothing is run yet."""
        self._scenario = scenario
        self._log = log
        self._seconds = seconds

    def molecule(self, action: str, *arguments: str) -> str:
        """Run one molecule action, with Ansible's arguments, and return what it printed; its failure is the test's."""
        command = ["molecule", "-c", "molecule/base.yml", action, "-s", self._scenario]
        command += ["--", *arguments] if arguments else []
        return self._run(command)

    def _run(self, command: list[str]) -> str:
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            # As molecule has it, for the inventory.
            "MOLECULE_PROJECT_DIRECTORY": str(ANSIBLE),
            # Its own would be another checkout's, too.
            "MOLECULE_EPHEMERAL_DIRECTORY": str(self._log.parent / f"molecule-{self._scenario}"),
        }
        done = subprocess.run(
            command, cwd=ANSIBLE, env=environment, capture_output=True, text=True, timeout=self._seconds, check=False
        )
        printed = _COLOURS.sub("", done.stdout + done.stderr)
        with self._log.open("a") as log:
            log.write(f"\n$ {' '.join(command)}\n{printed}")
        what = f"{command[0]} failed, the whole of it is in {self._log}"
        assert done.returncode == 0, f"{what}:\n{printed[-6000:]}"
        return printed

    def converge(self, **variables: object) -> str:
        """Run the playbook with variables that go before the inventory's, and return what it printed."""
        return self.molecule("converge", "--extra-vars", json.dumps(variables))

    def rotate(self, **variables: object) -> str:
        """Run the playbook that changes secrets and certificates, and return what it printed."""
        return self._play("rotate.yml", "-e", json.dumps(variables))

    def site(self, *arguments: str) -> str:
        """Run the playbook with Ansible's arguments, and return what it printed."""
        return self._play("site.yml", *arguments)

    def power_on(self) -> None:
        """Start the host where it is off."""
        self._play("lab_up.yml")

    def _play(self, playbook: str, *arguments: str) -> str:
        """Run a playbook of ours beside molecule, which hands its side effects no variables and creates but once.

        With its inventory, by itself in a folder of the same name.
        """
        inventory = self._log.parent / "inventory" / "hosts.yml"
        inventory.parent.mkdir(exist_ok=True)
        shutil.copy(ANSIBLE / "molecule" / "hosts.yml", inventory)
        return self._run(["ansible-playbook", "-i", str(inventory), playbook, *arguments])

    def assert_idempotent(self) -> None:
        """Run the playbook again and require that it changes nothing on any host."""
        recap = re.findall(r"(\S+)\s+: ok=\d+\s+changed=(\d+)", self.molecule("converge"))
        assert recap, "the playbook printed no recap"
        assert [host for host, changed in recap if changed != "0"] == [], f"a second run changed something: {recap}"

    @property
    def authority(self) -> Path:
        """The certificate of the deployment's own authority, as its operator hands it to the analysts."""
        return _SECRETS / "certificates" / "ca.crt"

    def analyst(self) -> dict[str, str]:
        """Return libpq's variables for an analyst who connects as the README has him."""
        return {
            "PGHOST": ADDRESS,
            "PGDATABASE": "market_pulse",
            "PGUSER": "bi_reader",
            "PGPASSWORD": self.secret("postgresql_bi_reader_password"),
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": str(self.authority),
        }

    @property
    def printed(self) -> str:
        """Everything that molecule, and Ansible in it, has printed for this session."""
        return self._log.read_text()

    def secret(self, name: str) -> str:
        """Return a secret out of the deployment's vault, such as ``vendor_api_key``."""
        return self.secrets()[f"vault_market_pulse_{name}"]

    def secrets(self) -> dict[str, str]:
        """Return all secrets of the deployment's vault by their names there."""
        view = [Path(sys.executable).with_name("ansible-vault"), "view", "--vault-password-file"]
        command = [*view, _SECRETS / "vault-password", _SECRETS / "vault.yml"]
        opened = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return {name: str(secret) for name, secret in yaml.safe_load(opened).items()}

    def host(self) -> Host:
        """Return the host that molecule made."""
        return Host.in_lab(ROOT / ".lab" / "molecule", HOST_NAME, self._log.parent)
