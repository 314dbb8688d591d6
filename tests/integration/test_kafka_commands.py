"""Kafka's commands under the names that operators know."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from integration.services.processes import CACHE, require
from support.repository import ANSIBLE, group_vars

BIN = ANSIBLE / "artifacts" / "kafka" / "bin"
VERSION = group_vars("versions")["kafka_version"]


@pytest.fixture
def libs() -> Path:
    folder = CACHE / f"kafka-{VERSION}" / "libs"
    require(folder, say="run `make artifacts`, which fetches Kafka's jars into the cache")
    return folder


def test_every_command_names_a_class_that_the_jars_have(libs: Path) -> None:
    classes: set[str] = set()
    for jar in libs.glob("kafka*.jar"):
        with zipfile.ZipFile(jar) as archive:
            classes.update(archive.namelist())
    commands = dict(line.split() for line in (BIN / "kafka-commands.txt").read_text().splitlines())
    assert len(commands) >= 20
    assert [name for name, java in commands.items() if f"{java.replace('.', '/')}.class" not in classes] == []


def test_a_command_runs_wherever_its_link_is(libs: Path, tmp_path: Path) -> None:
    home = tmp_path / "kafka"
    shutil.copytree(BIN, home / "bin")
    (home / "libs").symlink_to(libs)
    (tmp_path / "kafka-topics.sh").symlink_to(home / "bin" / "kafka-run.sh")
    done = subprocess.run([tmp_path / "kafka-topics.sh", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == VERSION


def test_another_name_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "kafka-brew.sh").symlink_to(BIN / "kafka-run.sh")
    done = subprocess.run([tmp_path / "kafka-brew.sh"], capture_output=True, text=True, check=False)
    assert (done.returncode, "kafka-brew.sh: not one of the commands" in done.stderr) == (2, True)
