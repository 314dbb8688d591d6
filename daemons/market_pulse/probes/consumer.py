"""The Spark driver, by the progress file that it writes: healthy while the report changes and the batches go on."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from pydantic import DirectoryPath, Field

from market_pulse import health, progress
from market_pulse.errors import StateError
from market_pulse.health import ConsumerFacts, ConsumerProgress, Verdict
from market_pulse.settings import Settings


class ConsumerProbeSettings(Settings):
    """The directory that systemd makes for the unit."""

    runtime_directory: DirectoryPath = Field(validation_alias="RUNTIME_DIRECTORY")


class ConsumerProbe:
    """Remembers the last report and since when it stands, by the monotonic clock: the wall clock may step."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Look at the report in `path`."""
        self._path = path
        self._monotonic = monotonic
        self._last: ConsumerProgress | None = None
        self._changed_at = self._batch_at = monotonic()

    def __call__(self) -> Verdict:
        """Read the report and judge it against the one before."""
        try:
            facts = progress.read(self._path)
            report = None if facts is None else msgspec.convert(facts, ConsumerProgress)
        except (StateError, msgspec.ValidationError) as error:
            return Verdict(healthy=False, sentence=f"the Spark driver's report is not one: {error}")
        now = self._monotonic()
        changed = report != self._last
        if changed:
            self._changed_at = now
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


def probe() -> ConsumerProbe:
    """Return the probe of this unit's driver.

    Raises:
        SettingsError: the unit has no runtime directory.
    """
    return ConsumerProbe(ConsumerProbeSettings.load().runtime_directory / progress.NAME)
