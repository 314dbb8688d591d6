"""The lab host that the system tests share: made, deployed and removed by molecule, with the playbook of production."""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from support.repository import ANSIBLE, ROOT
from system.host import Host

_INVENTORY = yaml.safe_load((ANSIBLE / "molecule" / "hosts.yml").read_text())
SYMBOLS: list[str] = _INVENTORY["all"]["vars"]["market_pulse_symbols"]
HOST_NAME: str = next(iter(_INVENTORY["all"]["children"]["lab"]["hosts"]))
UNITS = sorted(unit.stem for unit in (ROOT / "systemd").glob("market-pulse-*.service"))
_SECONDS = 1500
# Molecule paints whatever it is told about colours.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Deployment:
    """One molecule scenario, action by action; what it prints goes to a log file that a failure names."""

    def __init__(self, scenario: str, log: Path) -> None:
        """Take a scenario's name; nothing is run yet."""
        self._scenario = scenario
        self._log = log

    def molecule(self, action: str) -> str:
        """Run one molecule action and return what it printed; its failure is the test's."""
        command = ["molecule", "-c", "molecule/base.yml", action, "-s", self._scenario]
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
        }
        done = subprocess.run(
            command, cwd=ANSIBLE, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        printed = _COLOURS.sub("", done.stdout + done.stderr)
        with self._log.open("a") as log:
            log.write(f"\n$ {' '.join(command)}\n{printed}")
        assert done.returncode == 0, f"molecule {action} failed, the whole of it is in {self._log}:\n{printed[-6000:]}"
        return printed

    def assert_idempotent(self) -> None:
        """Run the playbook again and require that it changes nothing on any host."""
        recap = re.findall(r"(\S+)\s+: ok=\d+\s+changed=(\d+)", self.molecule("converge"))
        assert recap, "the playbook printed no recap"
        assert [host for host, changed in recap if changed != "0"] == [], f"a second run changed something: {recap}"

    def host(self) -> Host:
        """Return the host that molecule made."""
        config = ROOT / ".lab" / "molecule" / "hosts" / HOST_NAME / "ssh_config"
        return Host(("ssh", "-q", "-F", str(config), "-o", "ConnectTimeout=5", HOST_NAME))
