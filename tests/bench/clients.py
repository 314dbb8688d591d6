"""How the others get in, and what several of them were told for speed."""

from bench.way import Route, Stack
from integration.services.broker import password_of
from market_pulse.kafka_login import MECHANISM, Principal

# Of a client of librdkafka.
FETCH = {"fetch.min.bytes": 1_000_000, "fetch.wait.max.ms": 50, "queued.min.messages": 200_000}
_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"


def java_client(stack: Stack) -> dict[str, str]:
    """Return how a consumer of Kafka's own, in Java, gets in."""
    login = stack.broker.login(Principal.CONSUMER)
    password = password_of(Principal.CONSUMER)
    return {
        "bootstrap.servers": login.servers,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": MECHANISM,
        "sasl.jaas.config": f'{_MODULE} required username="{login.principal}" password="{password}";',
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(login.authority),
    }


def jdbc_url(stack: Stack, route: Route, **parameters: str) -> str:
    """Return where a driver of JDBC finds the route's database, over TLS, with parameters of the driver's."""
    server = stack.server
    all_of_them = {"sslmode": "verify-full", "sslrootcert": str(server.authority), **parameters}
    query = "&".join(f"{name}={value}" for name, value in all_of_them.items())
    return f"jdbc:postgresql://{server.host}:{server.port}/{route.database.name}?{query}"
