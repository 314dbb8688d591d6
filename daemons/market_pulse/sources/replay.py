"""Recorded answers from a folder, each played once, in the order of their names.

Beside an answer ``NAME`` stands ``NAME.request.json``: what was asked, and when the answer was fetched. ::

    {"function": "TIME_SERIES_INTRADAY", "symbol": "IBM", "interval": "5min", "datatype": "csv",
     "fetched_at": "2026-05-17T12:00:00Z"}
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from market_pulse.contract import Interval
from market_pulse.errors import SettingsError
from market_pulse.sources.answers import parse
from market_pulse.sources.base import Answer, Cadence, DataType, Function, Limits, Offer, RefusedError, Request

SIDECAR = ".request.json"


class Recording(BaseModel):
    """What stands in the file beside an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    function: Function
    symbol: str
    interval: Interval
    datatype: DataType
    fetched_at: AwareDatetime


class Replay:
    """A source that plays a folder."""

    name = "replay"

    def __init__(self, folder: Path) -> None:
        """Read what was asked for each answer in a folder.

        Raises:
            SettingsError: there is no recording, or one without its answer.
        """
        self._recordings: dict[Request, tuple[Path, Recording]] = {}
        for sidecar in sorted(folder.glob(f"*{SIDECAR}")):
            recording = _recording(sidecar)
            answer = sidecar.with_name(sidecar.name.removesuffix(SIDECAR))
            if not answer.is_file():
                raise SettingsError(f"{sidecar} stands without its answer {answer.name}")
            request = Request(
                recording.function,
                recording.symbol,
                recording.interval,
                recording.datatype,
                recording=answer.name,
            )
            self._recordings[request] = (answer, recording)
        if not self._recordings:
            raise SettingsError(f"{folder} holds no recorded answer: each needs its file NAME{SIDECAR}")

    def limits(self) -> Limits:
        """Return that a folder may be read as fast as it goes."""
        return Limits()

    def offer(self, symbols: Sequence[str], interval: Interval) -> Offer:  # noqa: ARG002 - what is in the folder is played
        """Return every recorded request once."""
        return Offer(tuple(self._recordings), Cadence.ONCE)

    def fetch(self, request: Request) -> Answer:
        """Return the recorded answer.

        Raises:
            RefusedError: the recorded answer is a refusal.
        """
        answer, recording = self._recordings[request]
        body = answer.read_bytes()
        fetched_at = recording.fetched_at.astimezone(UTC)
        try:
            series = parse(body, request, fetched_at)
        except RefusedError as error:
            raise RefusedError(error.refusal, str(error), body) from None
        # Of what was asked and of the content, so that a recording is told with the same provenance every time.
        told = f"{request.function} {request.symbol} {request.interval} {fetched_at.isoformat()} ".encode() + body
        return Answer(request, hashlib.sha256(told).hexdigest()[:32], fetched_at, fetched_at, series, body)


def _recording(sidecar: Path) -> Recording:
    try:
        return Recording.model_validate_json(sidecar.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(f"{sidecar}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
