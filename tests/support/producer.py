"""Settings of a producer in this process."""

from market_pulse.producer.settings import ProducerSettings

KEY = "key-of-the-test"


def producer_settings(**changes: object) -> ProducerSettings:
    """Return settings that ask the simulator about IBM every minute, but for what is changed."""
    settings: dict[str, object] = {
        "symbols": "IBM",
        "exchange": "XNYS",
        "vendor_api_key": KEY,
        "vendor_plan": "premium",
        "vendor_calls_per_minute": 75,
        "kafka_authority": __file__,
        "kafka_bootstrap_servers": "127.0.0.1:9092",
        "kafka_password": "password-of-the-test",
        "topic": "market.bars",
        "source": "simulator",
        "interval": "1min",
        "vendor_address": "http://vendor.invalid",
        "extended_hours": True,
        "settle_seconds": 5,
        "outbox_max_bars": 10_000_000,
        "archive_days": 400,
    }
    return ProducerSettings(**{**settings, **changes})
