"""The Spark master and worker, by the JSON pages of their web interfaces on loopback."""

from collections.abc import Callable
from typing import TypeVar

import msgspec
import requests
from pydantic import Field

from market_pulse import health
from market_pulse.health import MasterPage, Silence, Verdict, WorkerPage
from market_pulse.settings import Settings

_TIMEOUT_SECONDS = 5.0
_Page = TypeVar("_Page", MasterPage, WorkerPage)


class MasterProbeSettings(Settings):
    """Where the master shows itself."""

    spark_master_ui_port: int = Field(gt=0, lt=65536)


class WorkerProbeSettings(Settings):
    """Where the worker shows itself, and its master, if that runs on the same host: no page is open to other hosts."""

    spark_worker_ui_port: int = Field(gt=0, lt=65536)
    spark_master_ui_port: int | None = Field(default=None, gt=0, lt=65536)


def master_probe() -> Callable[[], Verdict]:
    """Return the probe of this host's master.

    Raises:
        SettingsError: its port is not given.
    """
    port = MasterProbeSettings.load().spark_master_ui_port

    def look() -> Verdict:
        page = master_page(port)
        return health.spark_master(page) if isinstance(page, MasterPage) else _silent(page)

    return look


def worker_probe() -> Callable[[], Verdict]:
    """Return the probe of this host's worker.

    Raises:
        SettingsError: its port is not given.
    """
    settings = WorkerProbeSettings.load()

    def look() -> Verdict:
        page = _read(settings.spark_worker_ui_port, WorkerPage)
        if not isinstance(page, WorkerPage):
            return _silent(page)
        if settings.spark_master_ui_port is None:
            return health.spark_worker(page, Silence.NOT_ASKED)
        master = master_page(settings.spark_master_ui_port)
        return health.spark_worker(page, master if isinstance(master, MasterPage) else Silence.NO_ANSWER)

    return look


def master_page(port: int) -> MasterPage | str:
    """Return what the master at a port of this host shows, or why it shows nothing, in one word."""
    return _read(port, MasterPage)


def _silent(reason: str) -> Verdict:
    return Verdict(healthy=False, sentence=f"its page does not answer: {reason}")


def _read(port: int, form: type[_Page]) -> _Page | str:
    try:
        answer = requests.get(f"http://127.0.0.1:{port}/json/", timeout=_TIMEOUT_SECONDS)
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=form)
    except (requests.RequestException, msgspec.MsgspecError) as error:
        return type(error).__name__
