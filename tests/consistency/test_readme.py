"""Every command that the README shows exists."""

import re

import typer

from market_pulse.cli import app
from support.repository import ANSIBLE, ROOT

README = (ROOT / "README.md").read_text()


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert shown
    assert shown <= targets


def test_every_playbook_exists() -> None:
    shown = re.findall(r"ansible-playbook [^`\n]*?(\w+\.yml)", README)
    assert shown
    assert [name for name in shown if not (ANSIBLE / name).exists()] == []


def test_every_unit_exists() -> None:
    units = {unit.stem for unit in (ROOT / "systemd").glob("*.*")} | {"market-pulse.target"}
    shown = re.findall(r"(?:systemctl \w+|journalctl -fu) (market-pulse[\w.-]*)", README)
    assert shown
    assert set(shown) <= units


def test_every_subcommand_exists() -> None:
    commands = typer.main.get_group(app).commands
    shown = re.findall(r"`market-pulse (\w+)", README)
    assert shown
    assert set(shown) <= set(commands)


def test_every_folder_in_the_table_exists() -> None:
    shown = re.findall(r"^\| `([\w/]+)/` \|", README, re.MULTILINE)
    assert shown
    assert [name for name in shown if not (ROOT / name).is_dir()] == []
