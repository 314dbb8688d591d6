"""What a newcomer does: a fresh copy of the repository, `make up`, a look around, `make down`, and nothing is left."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.repository import ROOT
from system.traces import traces

_LAB = "ansible/inventories/lab/hosts.yml"
# Beside a demo that runs on this machine already.
_OTHER_NAMES = {"market-pulse-demo": "market-pulse-door", "mp-demo": "mp-door", "10.77.1.": "10.77.8."}


@dataclass(frozen=True)
class Newcomer:
    """A copy of the repository without anything that git does not know."""

    folder: Path

    def make(self, target: str) -> str:
        """Run `make TARGET` and return what it printed."""
        return self.run("make", target)

    def run(self, *command: str, **environment: str) -> str:
        """Run a command in the folder, and fail with what it said."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-6000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    folder = tmp_path_factory.mktemp("newcomer") / "market-pulse"
    known = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(lambda name: (ROOT / name).exists(), known.splitlines()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    lab = (folder / _LAB).read_text()
    for demo, other in _OTHER_NAMES.items():
        lab = lab.replace(demo, other)
    (folder / _LAB).write_text(lab)
    before = traces("mp-door", "market-pulse-door", str(folder))
    someone = Newcomer(folder)
    try:
        yield someone
    finally:
        someone.make("down")
    assert traces("mp-door", "market-pulse-door", str(folder)) == before
    assert not (folder / ".lab").exists()


@pytest.fixture(scope="module")
def printed(newcomer: Newcomer) -> str:
    return newcomer.make("up")


def test_make_up_ends_with_the_first_bars_of_at_least_five_symbols(printed: str) -> None:
    rows = re.findall(r"^ (\S+) +\| 20\d\d-\d\d-\d\d \d\d:\d\d:00 (?:\| +[\d.]+ ){4}\| +\d+$", printed, re.MULTILINE)
    assert len(set(rows)) >= 5, printed[-3000:]


@pytest.mark.usefixtures("printed")
def test_the_control_machine_has_the_control_command(newcomer: Newcomer) -> None:
    planned = newcomer.run(".venv/bin/market-pulse", "plan", "--symbols", "6", "--interval", "1min")
    assert "kafka_heap" in planned


def test_the_ways_in_that_it_prints_lead_in(newcomer: Newcomer, printed: str) -> None:
    ssh = next(line.strip() for line in printed.splitlines() if re.match(r" +ssh -F \S+ \S+$", line))
    assert "IBM" in newcomer.run(*ssh.split(), "market-pulse status")
    vault = re.search(r"\.venv/bin/ansible-vault view .*?(?=\))", printed)
    assert vault, printed[-3000:]
    password = re.search(r"bi_reader_password: [\"']?([^\"'\n]+)", newcomer.run(*vault.group().split()))
    psql = re.search(r'psql "([^"]+)"', printed)
    assert password, "the vault holds no password of bi_reader"
    assert psql, printed[-3000:]
    query = "select count(*) > 0, (select ssl from pg_stat_ssl where pid = pg_backend_pid()) from bi.events_stream"
    answer = newcomer.run("psql", "-XAtc", query, psql.group(1), PGPASSWORD=password.group(1))
    assert answer.strip() == "t|t"
