"""A deployed host as an operator sees it: over ssh, by systemctl, journalctl and psql."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.ports import free_port, listening
from support.waiting import eventually

# What Kafka's own commands take, as root on the broker's host.
KAFKA_ADMIN = "--bootstrap-server 127.0.0.1:9094 --command-config /etc/market-pulse/kafka/admin.properties"


@dataclass(frozen=True)
class Host:
    """One host that the playbook has set up; `ssh` is the command line that reaches it."""

    ssh: tuple[str, ...]

    @classmethod
    def in_lab(cls, lab: Path, name: str, sockets: Path) -> "Host":
        """Return a host of the lab in this folder; `sockets` is a folder for ssh's own."""
        # One login for many commands: each would cost more than most commands do.
        options = [
            *("ControlMaster=auto", f"ControlPath={sockets}/%h", "ControlPersist=60"),
            # One that lasts must notice by itself that the host was paused or lost its power.
            *("ServerAliveInterval=2", "ConnectTimeout=5"),
        ]
        config = lab / "hosts" / name / "ssh_config"
        return cls(("ssh", "-q", "-F", str(config), *(f"-o{option}" for option in options), name))

    def run(self, command: str, *, check: bool = True, timeout: float = 120, stdin: str | None = None) -> str:
        """Run a shell command on the host and return what it printed; fail with what it said."""
        done = subprocess.run(
            [*self.ssh, command], capture_output=True, text=True, timeout=timeout, input=stdin, check=False
        )
        if check:
            assert done.returncode == 0, f"{command!r} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    @contextlib.contextmanager
    def tunnel(self, port: int) -> Iterator[str]:
        """Lead a port of this machine to one of the host's loopback, as the README does, and yield the near one."""
        near = free_port()
        options = ["-oControlPath=none", "-oExitOnForwardFailure=yes", "-N", "-L", f"127.0.0.1:{near}:127.0.0.1:{port}"]
        with subprocess.Popen([self.ssh[0], *options, *self.ssh[1:]]) as process:
            try:
                eventually(lambda: listening(near), within=20, what=f"port {port} of the host is reached")
                yield f"127.0.0.1:{near}"
            finally:
                process.terminate()

    def put(self, source: Path, destination: str) -> None:
        """Copy a local file to the host, readable by every user there."""
        self.run(f"install -D -m 0644 /dev/stdin {destination}", stdin=source.read_text())

    def sql(self, query: str) -> list[list[str]]:
        """Return the rows of a query, every field as PostgreSQL prints it."""
        printed = self.run(
            "runuser -u postgres -- psql -XAtq -F '\t' -d market_pulse", stdin=f"set timezone = 'UTC';\n{query}"
        )
        return [line.split("\t") for line in printed.splitlines()]

    def number(self, query: str) -> int:
        """Return the only field of a query's only row as a whole number."""
        return int(self.sql(query)[0][0])

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Return properties of a unit as `systemctl show` prints them."""
        printed = self.run(f"systemctl show {unit} --property={','.join(properties)}")
        return dict(line.split("=", 1) for line in printed.splitlines())

    def journal_cursor(self) -> str:
        """Return the end of the journal, for `journalctl --after-cursor=`."""
        # Any other form says first that there are no entries.
        return self.run("journalctl -n 0 --show-cursor -o cat").removeprefix("-- cursor: ")

    def postgresql_unit(self) -> str:
        """Return the unit of PostgreSQL's cluster, whose name holds its version."""
        return self.run("systemctl list-units --plain --no-legend 'postgresql@*'").split()[0]

    def main_pid(self, unit: str) -> int:
        """Return the unit's main process."""
        return int(self.show(unit, "MainPID")["MainPID"])

    def watchdog_seconds(self, unit: str) -> float:
        """Return the unit's WatchdogSec, as the running service manager has it."""
        printed = self.run(f'systemd-analyze timespan "$(systemctl show -P WatchdogUSec {unit})"')
        microseconds = next(line for line in printed.splitlines() if line.strip().startswith("\u03bcs:"))
        return int(microseconds.split(":")[1]) / 1e6

    def is_running(self, unit: str) -> bool:
        """Tell whether a unit is up and has said READY."""
        return self.show(unit, "ActiveState", "SubState") == {"ActiveState": "active", "SubState": "running"}

    def status(self) -> dict[str, object]:
        """Return what `market-pulse status --json` prints, whatever its exit code."""
        return dict(json.loads(self.run("market-pulse status --json", check=False)))

    def await_running(self, *units: str, within: float) -> None:
        """Wait until every unit is up."""
        for unit in units:
            eventually(lambda unit=unit: self.is_running(unit), within=within, what=f"{unit} is running")  # type: ignore[misc]

    def failed_units(self) -> str:
        """Return which units of the whole host have failed, ours or Debian's, as systemctl lists them."""
        return self.run("systemctl list-units --failed --plain --no-legend")

    def await_well(self, *, within: float) -> None:
        """Wait until no unit of the whole host has failed, ours or Debian's, and nothing is still coming up."""

        def is_well() -> bool:
            assert not (failed := self.failed_units()), failed
            return self.run("systemctl is-system-running", check=False) == "running"

        eventually(is_well, within=within, what="the system is well")

    def await_sentence(self, unit: str, words: str, *, within: float) -> None:
        """Wait until a unit says so in `systemctl status`."""

        def says() -> bool:
            sentence = self.show(unit, "StatusText")["StatusText"]
            assert words in sentence, sentence
            return True

        eventually(says, within=within, what=f"{unit} says {words!r}")

    def await_finding(self, words: str, *, within: float) -> None:
        """Wait until `market-pulse status` finds so."""

        def finds() -> bool:
            findings = json.dumps(self.status()["findings"])
            assert words in findings, findings
            return True

        eventually(finds, within=within, what=f"status finds {words!r}")
