"""`market-pulse alerts`: shows that alerts would arrive."""

import socket

import typer

from market_pulse.alerts.channels import channels
from market_pulse.cli.settings import CREDENTIALS
from market_pulse.errors import AlertError

_CREDENTIAL = CREDENTIALS / "mp_alert_urls"
_BODY = "This is a test: alerts of market-pulse on this host arrive here."

app = typer.Typer(no_args_is_help=True, help="Messages to an operator who is not looking.")


@app.callback()
def alerts() -> None:
    """Keep `test` a command of its own, though it is the only one."""


@app.command()
def test() -> None:
    """Send a test message through every channel, and say which did not take it.

    Exit code 0: all took it; 1: one did not; 2: there is none, or it cannot be read.
    """
    try:
        ways = channels(_CREDENTIAL.read_text(encoding="utf-8"))
    except OSError as error:
        typer.echo(f"market-pulse alerts: {_CREDENTIAL} cannot be read: {error.strerror}; use sudo", err=True)
        raise typer.Exit(2) from None
    if not ways:
        typer.echo("market-pulse alerts: nobody is told: the vault's vault_market_pulse_alert_urls is empty", err=True)
        raise typer.Exit(2)
    all_taken = True
    for way in ways:
        try:
            way.send(f"market-pulse on {socket.gethostname()}: test", _BODY)
            typer.echo(f"{way.name}: sent")
        except AlertError as error:
            typer.echo(f"not sent: {error}", err=True)
            all_taken = False
    raise typer.Exit(0 if all_taken else 1)
