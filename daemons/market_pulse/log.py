"""One line per event in the journal: ``event: key=value …``, at the level systemd understands."""

import errno
import faulthandler
import logging
import os
import sys
from types import TracebackType

from market_pulse.errors import MarketPulseError

# sd-daemon(3): the journal takes the level of a line from its prefix.
_PREFIXES = {
    logging.DEBUG: "<7>",
    logging.INFO: "<6>",
    logging.WARNING: "<4>",
    logging.ERROR: "<3>",
    logging.CRITICAL: "<2>",
}
_log = logging.getLogger(__name__)


def setup() -> None:
    """Send this process's log to standard error, for the journal or a terminal.

    An error that nobody caught ends as a line of the log, too, and the watchdog's SIGABRT leaves a traceback there.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JournalFormatter() if "JOURNAL_STREAM" in os.environ else logging.Formatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # The client logs every reconnection attempt; what an operator needs of it our own events say.
    logging.getLogger("kafka").setLevel(logging.ERROR)
    faulthandler.enable()
    sys.excepthook = _log_uncaught


def event(logger: logging.Logger, level: int, name: str, /, **facts: object) -> None:
    """Log one event, such as ``bars published: symbol=IBM count=3``."""
    if logger.isEnabledFor(level):
        logger.log(level, "%s", line(name, **facts))


def line(name: str, /, **facts: object) -> str:
    """Return an event as it stands in the journal."""
    words = " ".join(f"{key}={_quoted(value)}" for key, value in facts.items())
    return f"{name}: {words}" if words else name


class JournalFormatter(logging.Formatter):
    """Puts the level before every line, also before each line of a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as the journal wants it."""
        prefix = _PREFIXES.get(record.levelno, "<6>")
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def _quoted(value: object) -> str:
    text = str(value)
    return text if text and not set(text) & set(" \t\r\n\"'=") else repr(text)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    elif isinstance(error, MarketPulseError):
        _log.critical("stopped: %s", error)
    elif isinstance(error, OSError) and error.errno == errno.EMFILE:
        _log.critical("stopped: %s: the unit needs a higher LimitNOFILE=", error.strerror)
    else:
        _log.critical("stopped by an error nobody expected", exc_info=(kind, error, trace))
