"""Instants as an operator types them for the commands that read the log."""

from datetime import UTC, datetime

import typer


def instant(text: str) -> datetime:
    """Return the instant that a text names, in UTC.

    Raises:
        typer.BadParameter: it is none, or its offset from UTC is not said.
    """
    try:
        told = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no instant: {error}; write 2026-01-05T15:31Z") from None
    if told.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no offset from UTC; write {text}Z if it is UTC")
    return told.astimezone(UTC)
