"""The control command's proof as an operator types it: what it prints, and with which code it leaves."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click.testing
import pytest
import typer.testing

from market_pulse import cli
from market_pulse.cli.database import Account, connect
from market_pulse.cli.settings import CliSettings
from market_pulse.cli.verdicts import Outcome, Verdict
from market_pulse.cli.verification import Span
from market_pulse.errors import SettingsError
from support.repository import group_vars

SETTINGS = CliSettings(
    kafka_authority=Path(__file__),
    kafka_bootstrap_servers="127.0.0.1:9",
    kafka_password="none",
    topic="bars",
    database_host="127.0.0.1",
    database_port=9,
    database_name="none",
    database_user="market_pulse_monitor",
    database_authority=Path(__file__),
    interval="1min",
    exchange="XNYS",
    source="test",
    clock_real_start=datetime(2026, 1, 1, tzinfo=UTC),
    clock_market_start=datetime(2026, 1, 1, tzinfo=UTC),
)
Type = Callable[..., click.testing.Result]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Span]:
    """What the database was asked for; it finds one check broken, and one not."""
    spans: list[Span] = []

    def outcomes(_: CliSettings, span: Span, archive: object) -> Iterator[Outcome]:
        assert archive is None
        spans.append(span)
        yield Outcome("ledger", Verdict.OK, "3 batches: add up", 3)
        yield Outcome("bars", Verdict.FAILED, "1 of 2 bars", 2, 1, ("IBM is gone",))

    monkeypatch.setattr(cli, "outcomes", outcomes)
    return spans


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Type:
    monkeypatch.setattr(CliSettings, "load_host", lambda: SETTINGS)
    monkeypatch.setenv("COLUMNS", "300")
    return lambda *arguments: typer.testing.CliRunner().invoke(cli.app, arguments)


def test_verify_prints_a_line_per_check(run: Type, asked: list[Span]) -> None:
    done = run("verify")
    assert done.exit_code == 1
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["ok", "ledger", "3", "batches:", "add", "up"],
        ["FAILED", "bars", "1", "of", "2", "bars"],
        ["IBM", "is", "gone"],
    ]
    assert asked == [Span()]


def test_verify_of_a_day_as_one_object(run: Type, asked: list[Span]) -> None:
    done = run("verify", "2026-01-05", "--json")
    midnight = datetime(2026, 1, 5, 5, tzinfo=UTC)
    assert asked == [Span(midnight, midnight + timedelta(days=1))]
    document = json.loads(done.stdout)
    assert {key: document[key] for key in ("day", "since", "level")} == {
        "day": "2026-01-05",
        "since": "2026-01-05T05:00:00Z",
        "level": 1,
    }
    assert document["checks"][1] == {
        "check": "bars",
        "verdict": "FAILED",
        "sentence": "1 of 2 bars",
        "examined": 2,
        "broken": 1,
        "examples": ["IBM is gone"],
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verify", "2026-1-5"), "'2026-1-5' is no day of the calendar"),
        (("verify", "2199-01-01"), "2199-01-01 has not begun in America/New_York"),
        (("explain", "IBM", "now"), "'now' is no day of the calendar"),
        (("explain", "IBM", "2026-01-05T99:00"), "is no instant"),
        (("explain", "ibm", "2026-01-05T10:00"), "'ibm' is no symbol"),
    ],
)
@pytest.mark.usefixtures("asked")
def test_a_word_that_is_wrong_is_named(run: Type, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_a_credential_that_is_elsewhere_is_said_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="connects as the writer and runs on the consumer's host"):
        connect(SETTINGS, Account.WRITER, credentials=tmp_path)


def test_the_accounts_are_named_as_in_the_deployment() -> None:
    names = group_vars("pipeline")["market_pulse_accounts"]
    for account in set(Account) & names.keys():
        assert names[account] == f"market_pulse_{account}"
    assert {"monitor", "writer"} <= names.keys()
