"""What changes something with the control command is in the journal, with who, what and how it ended."""

import syslog

import pytest
import typer
import typer.testing

from market_pulse import cli
from market_pulse.cli.record import recorded

# Those that only look.
LOOKING = {
    ("status",),
    ("metrics",),
    ("verify",),
    ("explain",),
    ("budget",),
    ("exported",),
    ("plan",),
    ("alerts", "test"),
    ("quarantine", "list"),
    ("quarantine", "show"),
}


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was written, instead of writing it."""
    lines: list[str] = []

    def write(level: int, line: str) -> None:
        assert level == syslog.LOG_NOTICE
        lines.append(line)

    monkeypatch.setattr(syslog, "syslog", write)
    monkeypatch.setenv("SUDO_USER", "alice")
    monkeypatch.setattr("sys.argv", ["/opt/market-pulse/venv/bin/market-pulse", "backfill", "BRK B", "--again"])
    return lines


@pytest.mark.parametrize(
    ("end", "result"),
    [(None, "0"), (typer.Exit(1), "1"), (KeyboardInterrupt(), "KeyboardInterrupt"), (OSError("x"), "OSError")],
)
def test_a_command_is_recorded_at_its_begin_and_its_end(
    journal: list[str], end: BaseException | None, result: str
) -> None:
    @recorded
    def command() -> None:
        assert len(journal) == 1
        if end is not None:
            raise end

    if end is None:
        command()
    else:
        with pytest.raises(type(end)):
            command()
    typed = """by=alice command="market-pulse backfill 'BRK B' --again\""""
    assert journal == [f"began: {typed}", f"ended: {typed} result={result}"]


def _commands() -> dict[tuple[str, ...], object]:
    """Return every command's function by its words."""
    whole = typer.main.get_group(cli.app)
    found: dict[tuple[str, ...], object] = {}
    for name, command in whole.commands.items():
        for inner, function in getattr(command, "commands", {"": command}).items():
            found[tuple(filter(None, (name, inner)))] = function.callback
    return found


def test_every_command_is_recorded_unless_it_only_looks() -> None:
    ours = {words for words, function in _commands().items() if "recorded" in repr(_unwrapped(function))}
    assert ours == set(_commands()) - LOOKING
    assert ours == {("replay",), ("rebuild",), ("backfill",), ("quarantine", "acknowledge"), ("quarantine", "replay")}


def _unwrapped(function: object) -> list[str]:
    """Return the names of the functions that a command is wrapped in, by where each was written."""
    names = []
    while function is not None:
        names.append(getattr(getattr(function, "__code__", None), "co_qualname", ""))
        function = getattr(function, "__wrapped__", None)
    return names


def test_a_recorded_command_keeps_its_options() -> None:
    help_text = typer.testing.CliRunner().invoke(cli.app, ["backfill", "--help"], env={"COLUMNS": "200"}).output
    assert "--from" in help_text
    assert "Exit code 0: all is there" in help_text
