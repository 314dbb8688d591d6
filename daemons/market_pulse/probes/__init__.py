"""How the supervisor looks at the programs it runs: each probe answers with a verdict, by its name on the command line.

A probe is made once per supervisor, from the unit's settings. It may keep connections and what it saw last; it returns
an unhealthy verdict for everything that a program which is down, starting or hanging can do to it.
"""

from collections.abc import Callable, Mapping

from market_pulse.health import Verdict
from market_pulse.probes import consumer, kafka, pgadmin, spark

Probe = Callable[[], Verdict]

PROBES: Mapping[str, Callable[[], Probe]] = {
    "consumer": consumer.probe,
    "kafka": kafka.probe,
    "pgadmin": pgadmin.probe,
    "spark-master": spark.master_probe,
    "spark-worker": spark.worker_probe,
}
