"""How long the consumer waits for PostgreSQL, from the inside outwards: the database's error has to come first."""

import yaml

from market_pulse.health import BATCH_SECONDS
from market_pulse_stream.writer import RETRY_SECONDS
from support.repository import ANSIBLE

# A wait between attempts and an attempt that ends by the session's tcp_user_timeout.
_LAST_ATTEMPT_SECONDS = 5 + 30


def test_a_database_that_is_away_ends_a_batch_before_the_watchdog_does() -> None:
    role = yaml.safe_load((ANSIBLE / "roles" / "consumer" / "vars" / "main.yml").read_text())
    attempts = role["_consumer_spark_settings"]["spark.task.maxFailures"]
    assert attempts * (RETRY_SECONDS + _LAST_ATTEMPT_SECONDS) < BATCH_SECONDS
