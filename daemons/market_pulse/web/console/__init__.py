"""The Kafka page: what Kafka and its readers say of themselves, for the operator, read-only."""

from market_pulse.web.console.app import application as application
