"""The partitions that the schema role makes, by the role's own statements."""

import contextlib
from typing import Any

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from integration.services.database import Database
from support.repository import ANSIBLE

ROLE = ANSIBLE / "roles/schema"
NEWEST = """
INSERT INTO market.latest_bar
SELECT 'IBM', '1min', date_trunc('minute', now()), 1, 1, 1, 1, 1, true, 'test', 'r1', now() + interval '1 min'
"""
LEAVING = "SELECT count(*) FROM market.months_before(date_trunc('month', now(), 'UTC') - make_interval(months => %s))"


def tasks() -> dict[str, Any]:
    """Return what each query task of the role asks, by the task's name."""
    blocks = yaml.safe_load((ROLE / "tasks/configure.yml").read_text())
    every = [task for block in blocks for task in [block, *block.get("block", [])]]
    module = "community.postgresql.postgresql_query"
    return {task["name"]: task[module] for task in every if module in task}


def months(keep: int) -> list[int]:
    """Return how many months back and ahead the role makes."""
    expression = yaml.safe_load((ROLE / "vars/main.yml").read_text())["_schema_months"]
    variables = yaml.safe_load((ROLE / "defaults/main.yml").read_text()) | {"market_pulse_keep_months": keep}
    found: list[int] = NativeEnvironment().from_string(expression).render(variables)
    return found


def missing(database: Database, keep: int) -> int:
    return len(database.query(tasks()["Ask which months lack a partition"]["query"], *months(keep)))


@pytest.mark.parametrize("keep", [0, 2, 6, 11, 12, 100])
def test_every_month_that_is_made_is_kept_and_a_second_run_makes_none(database: Database, keep: int) -> None:
    assert missing(database, keep) == 2 * (1 + 3 + (min(keep, 12) or 12))
    make = tasks()["Make their partitions"]
    assert make["autocommit"]
    with contextlib.closing(database.connect()) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(make["query"], months(keep))
    made = database.query(
        "SELECT count(*), count(DISTINCT xmin::text) FROM pg_inherits WHERE inhrelid::regclass::text"
        " ~ 'bar_(revision_)?20[0-9_]+$'"
    )
    assert made == [(2 * (1 + 3 + (min(keep, 12) or 12)),) * 2], "each in its own transaction"
    database.query(NEWEST)
    assert missing(database, keep) == 0
    if keep:
        assert database.query(LEAVING, keep) == [(0,)]


def test_the_statements_with_passwords_stay_out_of_the_servers_log(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the server logs otherwise, such as every change of an account."""
    database.query(f"ALTER DATABASE \"{database.name}\" SET log_statement = 'ddl'")
    (task,) = yaml.safe_load((ROLE / "tasks/passwords.yml").read_text())
    monkeypatch.setenv("PGOPTIONS", task["environment"]["PGOPTIONS"])
    settings = ("log_statement", "log_min_error_statement", "log_min_duration_statement")
    found = {name: database.query(f"SELECT current_setting('{name}')")[0][0] for name in settings}
    assert found == {
        "log_statement": "none",
        "log_min_error_statement": "panic",
        "log_min_duration_statement": "-1",
    }
