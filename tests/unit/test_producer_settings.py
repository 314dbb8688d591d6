"""What the producer refuses to start with, by the name of the variable."""

import pytest

from market_pulse.errors import SettingsError
from market_pulse.producer.settings import ProducerSettings

GOOD = {
    "MP_SYMBOLS": "IBM, BRK.B",
    "MP_EXCHANGE": "XNYS",
    "MP_VENDOR_API_KEY": "key",
    "MP_VENDOR_PLAN": "premium",
    "MP_VENDOR_CALLS_PER_MINUTE": "75",
    "MP_KAFKA_AUTHORITY": __file__,
    "MP_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "MP_KAFKA_PASSWORD": "password",
    "MP_TOPIC": "market.bars",
    "MP_SOURCE": "simulator",
    "MP_INTERVAL": "1min",
    "MP_VENDOR_ADDRESS": "http://127.0.0.1:8090",
    "MP_EXTENDED_HOURS": "true",
    "MP_SETTLE_SECONDS": "5",
    "MP_OUTBOX_MAX_BARS": "1000",
    "MP_ARCHIVE_DAYS": "400",
    "MP_CLOCK_SPEED": "60",
}


def _load(monkeypatch: pytest.MonkeyPatch, **changes: str) -> ProducerSettings:
    for name, value in {**GOOD, **changes}.items():
        monkeypatch.setenv(name, value)
    return ProducerSettings.load()


def test_symbols_come_as_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _load(monkeypatch).symbols == ("IBM", "BRK.B")


@pytest.mark.parametrize(
    "changes", [{"MP_CLOCK_SPEED": "1"}, {"MP_CLOCK_MARKET_START": "2022-01-01T00:00:00Z"}, {"MP_CLOCK_SPEED": "60"}]
)
def test_real_time_and_markets_labelled_by_start_are_accepted(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    assert _load(monkeypatch, **changes).clock_speed >= 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"MP_SYMBOLS": "IBM,ibm"}, "MP_SYMBOLS: 'ibm' is not a symbol"),
        ({"MP_SYMBOLS": "IBM,IBM"}, "MP_SYMBOLS: a symbol stands there twice"),
        ({"MP_SYMBOLS": ""}, "MP_SYMBOLS: Field required"),
        ({"MP_INTERVAL": "2min"}, "MP_INTERVAL: Input should be '1min'"),
        ({"MP_VENDOR_API_KEY": ""}, "credential mp_vendor_api_key: Field required"),
        ({"MP_KAFKA_PASSWORD": ""}, "credential mp_kafka_password: Field required"),
        ({"MP_KAFKA_AUTHORITY": "/nowhere/ca.crt"}, "MP_KAFKA_AUTHORITY: Path does not point to a file"),
        ({"MP_VENDOR_ADDRESS": ""}, "MP_VENDOR_ADDRESS is missing"),
        ({"MP_SOURCE": "replay"}, "MP_REPLAY_FOLDER is missing"),
        ({"MP_SOURCE": "alphavantage"}, "MP_CLOCK_SPEED must be 1"),
        ({"MP_CLOCK_MARKET_START": "2021-12-31T14:30:00Z"}, "MP_CLOCK_MARKET_START must be 2022-01-01 or later: "),
        ({"MP_CLOCK_REAL_START": "2026-11-22T12:00:00Z"}, "MP_CLOCK_MARKET_START must be 2022-01-01 or later: "),
        ({"MP_CLOCK_SPEED": "0.5"}, "MP_CLOCK_MARKET_START must be 2022-01-01 or later: "),
        ({"MP_SETTLE_SECONDS": "-1"}, "MP_SETTLE_SECONDS: "),
        ({"MP_ARCHIVE_DAYS": "0"}, "MP_ARCHIVE_DAYS: "),
        ({"MP_KAFKA_BOOTSTRAP_SERVERS": "localhost"}, "MP_KAFKA_BOOTSTRAP_SERVERS: "),
    ],
)
def test_what_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        _load(monkeypatch, **changes)
    assert str(refused.value).startswith(sentence)
