"""Who changed what with `market-pulse`, when, and how it ended: two lines of the journal for each such command.

``journalctl -t market-pulse`` shows them; journald adds the time and, as `_AUDIT_LOGINUID`, who once logged in.
"""

import functools
import getpass
import os
import shlex
import sys
import syslog
from collections.abc import Callable
from typing import ParamSpec

import typer

from market_pulse import log

_IDENTIFIER = "market-pulse"
_Arguments = ParamSpec("_Arguments")


def operator() -> str:
    """Return who types, also behind sudo."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def recorded(command: Callable[_Arguments, None]) -> Callable[_Arguments, None]:
    """Have the journal know of a command that changes something; its options must not hold a secret."""

    @functools.wraps(command)
    def run(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> None:
        typed = shlex.join([_IDENTIFIER, *sys.argv[1:]])
        _write("began", typed)
        try:
            command(*arguments, **options)
        except typer.Exit as left:
            _write("ended", typed, result=left.exit_code)
            raise
        except BaseException as error:
            _write("ended", typed, result=type(error).__name__)
            raise
        _write("ended", typed, result=0)

    return run


def _write(name: str, typed: str, **facts: object) -> None:
    syslog.openlog(_IDENTIFIER, syslog.LOG_PID, syslog.LOG_AUTHPRIV)
    syslog.syslog(syslog.LOG_NOTICE, log.line(name, by=operator(), command=typed, **facts))
