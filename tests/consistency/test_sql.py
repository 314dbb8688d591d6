"""The SQL names the accounts that the rest of the project knows, and pgmigrate sees every migration."""

import re
from pathlib import Path

import pytest

from support.repository import ROOT, group_vars, role_vars

_SQL = ROOT / "sql"
_MIGRATIONS = sorted((_SQL / "migrations").iterdir())


def test_the_accounts_are_those_of_the_deployment() -> None:
    created = re.search(r"ARRAY\[(.+?)\]", (_SQL / "callbacks" / "roles.sql").read_text(), re.DOTALL)
    assert created is not None
    assert set(re.findall(r"'(\w+)'", created[1])) == set(group_vars("pipeline")["market_pulse_accounts"].values())


def test_every_account_that_logs_in_has_a_password_that_is_set_and_rotated() -> None:
    passwords = role_vars("schema")["_schema_passwords"]
    secrets = group_vars("secrets")
    for account in group_vars("pipeline")["market_pulse_accounts"].keys() - {"owner"}:
        name = f"market_pulse_postgresql_{account}_password"
        assert secrets[name] == f"{{{{ vault_{name} }}}}"
        assert f"market_pulse_accounts.{account}: {name}" in passwords


def test_only_known_accounts_are_granted_anything() -> None:
    granted = re.compile(r"(?:\bTO|AUTHORIZATION) (\w+(?:, \w+)*);")
    named = {
        name
        for path in _SQL.rglob("*.sql")
        for names in granted.findall(path.read_text())
        for name in names.split(", ")
    }
    assert named
    assert named <= set(group_vars("pipeline")["market_pulse_accounts"].values())


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [re.fullmatch(r"V(\d{4})__[a-z_]+\.sql", path.name) for path in _MIGRATIONS]
    assert [match and int(match[1]) for match in numbers] == list(range(1, len(_MIGRATIONS) + 1))


@pytest.mark.parametrize("path", sorted(_SQL.rglob("*.sql")), ids=lambda path: path.name)
def test_pgmigrate_reads_ascii_only(path: Path) -> None:
    assert path.read_text().isascii()
