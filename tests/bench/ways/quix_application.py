"""What `bench.ways.quix` runs."""

import json
import sys
from pathlib import Path
from typing import Any

from quixstreams import Application
from quixstreams.kafka import ConnectionConfig
from quixstreams.models.serializers import SerializationError
from quixstreams.sinks.community.postgresql import PostgreSQLSink


def main(wish: dict[str, Any]) -> None:
    """Carry bars until the process is ended."""
    application = Application(
        ConnectionConfig(**wish["connection"]),
        # A record that is no JSON is left out.
        on_consumer_error=lambda error, _record, _logger: isinstance(error, SerializationError),
        **wish["application"],
    )
    bars = application.dataframe(application.topic(wish["topic"], value_deserializer="json"))
    bars[wish["columns"]].sink(PostgreSQLSink(**wish["sink"]))
    application.run()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
