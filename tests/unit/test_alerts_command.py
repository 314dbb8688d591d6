"""`market-pulse alerts test`: says of every channel whether it took a message, and never its URL."""

from collections.abc import Iterator
from pathlib import Path

import click.testing
import pytest
import typer.testing

from market_pulse import cli
from market_pulse.cli import alerts
from support.sinks import Sink, web_sink


@pytest.fixture
def web() -> Iterator[Sink]:
    with web_sink() as sink:
        yield sink


def run(monkeypatch: pytest.MonkeyPatch, credential: Path) -> click.testing.Result:
    monkeypatch.setattr(alerts, "_CREDENTIAL", credential)
    return typer.testing.CliRunner().invoke(cli.app, ["alerts", "test"])


def test_each_channel_says_whether_it_took_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, web: Sink) -> None:
    credential = tmp_path / "mp_alert_urls"
    credential.write_text(f"json://127.0.0.1:{web.port}/do-not-tell\n\njson://127.0.0.1:9/do-not-tell\n")
    done = run(monkeypatch, credential)
    assert done.exit_code == 1
    assert "channel 1 (json): sent" in done.output
    assert "not sent: channel 2 (json) cannot be reached" in done.output
    assert "do-not-tell" not in done.output
    assert [title.split(": ")[1] for title in web.titles] == ["test"]
    credential.write_text(f"json://127.0.0.1:{web.port}\n")
    assert run(monkeypatch, credential).exit_code == 0


def test_without_a_channel_it_says_where_to_name_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    credential = tmp_path / "mp_alert_urls"
    credential.write_text("\n")
    done = run(monkeypatch, credential)
    assert done.exit_code == 2
    assert "vault_market_pulse_alert_urls is empty" in done.output


def test_who_may_not_read_it_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done = run(monkeypatch, tmp_path / "mp_alert_urls")
    assert done.exit_code == 2
    assert "use sudo" in done.output
