"""The Spark driver, by the progress file that it writes: healthy while the report changes and the batches go on.

A look waits for the next report instead of reading the last: what ends in a word to the watchdog happened just before
it, and not once since the look before, so that a hang is found within WatchdogSec.
"""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from pydantic import DirectoryPath, Field

from market_pulse import health, progress
from market_pulse.errors import StateError
from market_pulse.health import ConsumerFacts, ConsumerProgress, Verdict
from market_pulse.settings import Settings

# The driver reports every second; a machine under load lets it wait.
_NEWS_SECONDS = 5.0
_EVERY_SECONDS = 0.25


class ConsumerProbeSettings(Settings):
    """The directory that systemd makes for the unit."""

    runtime_directory: DirectoryPath = Field(validation_alias="RUNTIME_DIRECTORY")


class ConsumerProbe:
    """Remembers the last report and since when it stands, by the monotonic clock: the wall clock may step."""

    def __init__(
        self,
        path: Path,
        monotonic: Callable[[], float] = time.monotonic,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        """Look at the report in `path`; `rest` passes seconds of the clock `monotonic`."""
        self._path = path
        self._monotonic = monotonic
        self._rest = rest
        self._last: ConsumerProgress | None = None
        self._changed_at = self._batch_at = monotonic()

    def __call__(self) -> Verdict:
        """Wait for the next report and judge it against the one before."""
        try:
            report, changed = self._next()
        except (StateError, msgspec.ValidationError) as error:
            return Verdict(healthy=False, sentence=f"the Spark driver's report is not one: {error}")
        now = self._monotonic()
        if report is None or self._last is None or report.batch_id != self._last.batch_id or not report.behind:
            self._batch_at = now
        self._last = report
        return health.consumer(
            ConsumerFacts(
                progress=report,
                changed=changed,
                unchanged_seconds=now - self._changed_at,
                batch_seconds=now - self._batch_at,
            )
        )

    def _next(self) -> tuple[ConsumerProgress | None, bool]:
        """Return the first report that the driver writes from now on, or what it left and that it wrote none."""
        before = self._read()
        now = self._monotonic()
        if before != self._last:
            self._changed_at = now
        give_up = now + _NEWS_SECONDS
        while before is not None and self._monotonic() < give_up:
            self._rest(_EVERY_SECONDS)
            if (report := self._read()) != before:
                self._changed_at = self._monotonic()
                return report, True
        return before, False

    def _read(self) -> ConsumerProgress | None:
        facts = progress.read(self._path)
        return None if facts is None else msgspec.convert(facts, ConsumerProgress)


def probe() -> ConsumerProbe:
    """Return the probe of this unit's driver.

    Raises:
        SettingsError: the unit has no runtime directory.
    """
    return ConsumerProbe(ConsumerProbeSettings.load().runtime_directory / progress.NAME)
