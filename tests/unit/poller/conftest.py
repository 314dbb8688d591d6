"""A poller of two symbols, its source, its clock, and the process that begins anew."""

from collections.abc import Callable
from pathlib import Path

import pytest

from market_pulse.producer import build_poller
from market_pulse.producer.archive import Archive
from market_pulse.producer.poller import Poller
from market_pulse.producer.store import Store
from support.intake import NOW
from support.producer import producer_settings
from support.scripted_source import ScriptedSource
from support.virtual_market import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW, speed=60)


@pytest.fixture
def source(clock: VirtualClock) -> ScriptedSource:
    return ScriptedSource(clock)


@pytest.fixture
def make(source: ScriptedSource, clock: VirtualClock, tmp_path: Path) -> Callable[[], Poller]:
    def build() -> Poller:
        memory, archive = Store(tmp_path / "producer.sqlite3"), Archive(tmp_path / "archive", keep_days=400)
        settings = producer_settings(symbols="IBM,MSFT", outbox_max_bars=10_000)
        return build_poller(settings, memory, archive, source, clock)

    return build


@pytest.fixture
def poller(make: Callable[[], Poller]) -> Poller:
    return make()
