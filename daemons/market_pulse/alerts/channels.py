"""The ways out: each of the operator's URLs is one channel. A URL is a secret: it is nowhere but in its request."""

import contextlib
import hashlib
import io
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import apprise

from market_pulse import log
from market_pulse.errors import AlertError

# apprise writes tokens and addresses into its log; of all that, the number of a refusal is harmless and helps.
_REFUSED = re.compile(r"\berror=(\d{3})\b")
_LIBRARY = logging.getLogger("apprise")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Channel:
    """One URL; `name` says which without telling it, `id` stays while the URL does.

    `service` is None for a line that is no URL of a service that is known.
    """

    name: str
    id: str
    service: apprise.NotifyBase | None = field(repr=False)

    def check(self) -> apprise.NotifyBase:
        """Return the service.

        Raises:
            AlertError: nothing can ever be sent through this channel; the message names it.
        """
        if self.service is None:
            raise AlertError(f"{self.name} is no URL of a service that apprise knows")
        if not self.service.verify_certificate:
            raise AlertError(f"{self.name} says verify=no, and nothing is sent to whom nobody vouches for")
        return self.service

    def send(self, title: str, body: str) -> None:
        """Send one message.

        Raises:
            AlertError: it was not taken; the message names the channel.
        """
        service = self.check()
        with _library_log() as said:
            try:
                taken = service.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT)
            except Exception as error:  # noqa: BLE001 - a library's error may quote the URL, so its kind alone is told
                raise AlertError(f"{self.name} has failed with {type(error).__name__}") from None
        if not taken:
            refused = _REFUSED.search(said.getvalue())
            raise AlertError(f"{self.name} " + (f"refused with HTTP {refused[1]}" if refused else "cannot be reached"))


@dataclass(frozen=True)
class Journal:
    """This host's journal, which is told like a channel and always takes it; `is_alone` if there is no other."""

    is_alone: bool
    id: str = "journal"

    def check(self) -> None:
        """Do nothing: it is always there."""

    def send(self, title: str, body: str) -> None:
        """Log the message, and if nobody else is told, that."""
        log.event(_log, logging.WARNING, title, what=" / ".join(line for line in body.splitlines() if line))
        if self.is_alone:
            log.event(_log, logging.WARNING, "nobody is told: the credential mp_alert_urls names no channel")


def channels(urls: str) -> list[Channel]:
    """Return a channel for each line that is not empty."""
    lines = [line.strip() for line in urls.splitlines() if line.strip()]
    return [_channel(number, line) for number, line in enumerate(lines, 1)]


def _channel(number: int, url: str) -> Channel:
    with _library_log():
        service = apprise.Apprise.instantiate(url)
    kind = re.match(r"[a-z]+(?=://)", url) if service else None
    name = f"channel {number}" + (f" ({kind[0]})" if kind else "")
    return Channel(name, hashlib.sha256(url.encode()).hexdigest()[:16], service)


@contextlib.contextmanager
def _library_log() -> Iterator[io.StringIO]:
    """Keep what apprise logs from every log, and give it to who knows what of it may be told."""
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    before = _LIBRARY.propagate, _LIBRARY.level
    _LIBRARY.propagate = False
    _LIBRARY.setLevel(logging.WARNING)
    _LIBRARY.addHandler(handler)
    try:
        yield said
    finally:
        _LIBRARY.removeHandler(handler)
        _LIBRARY.propagate, _LIBRARY.level = before
