"""Kafka on a deployed host: who is on the host gets no further than its unit's own password or key lets it."""

import re
from collections import defaultdict

import pytest

from system.deployment import HOST_NAME, Deployment
from system.host import KAFKA_ADMIN, Host

_CLIENTS, _CONTROLLER, _BROKERS = 9092, 9093, 9094
# Waits a moment, because with TLS 1.3 a server says only after the handshake that it wants a certificate.
_CONNECT = (
    "(sleep 1) | openssl s_client -connect 127.0.0.1:{port} -CAfile /etc/market-pulse/ca.crt "
    "-verify_return_error -verify_ip 127.0.0.1 -cipher ALL:@SECLEVEL=0 {options} 2>&1"
)
_CLEAR_TEXT = """
import sys
from kafka import KafkaAdminClient
from kafka.errors import KafkaError
try:
    KafkaAdminClient(bootstrap_servers=sys.argv[1], bootstrap_timeout_ms=3000)
except KafkaError as error:
    print(type(error).__name__)
"""


def connect(host: Host, port: int, options: str) -> str:
    """Return what openssl says of a session."""
    return host.run(_CONNECT.format(port=port, options=options), check=False)


@pytest.mark.parametrize("port", [_CLIENTS, _CONTROLLER, _BROKERS])
def test_kafka_listens_on_loopback_and_speaks_no_clear_text(host: Host, port: int) -> None:
    assert host.run(f"ss -Hltn sport = :{port}").split()[3] == f"[::ffff:127.0.0.1]:{port}"
    python = "/opt/market-pulse/venv/bin/python"
    assert host.run(f"{python} - 127.0.0.1:{port} 2>/dev/null", stdin=_CLEAR_TEXT) == "KafkaTimeoutError"


@pytest.mark.parametrize(
    ("port", "version"),
    [
        (_CLIENTS, "tls1_1"),
        (_CONTROLLER, "tls1_1"),
        (_BROKERS, "tls1_1"),
        (_CONTROLLER, "tls1_2"),
        (_BROKERS, "tls1_2"),
    ],
)
def test_old_tls_is_refused(host: Host, port: int, version: str) -> None:
    assert "alert protocol version" in connect(host, port, f"-{version}")


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_a_client_gets_an_encrypted_session_with_a_broker_that_bears_its_name(host: Host, version: str) -> None:
    said = connect(host, _CLIENTS, f"-{version.lower().replace('v', '').replace('.', '_')}")
    assert f"New, {version}" in said
    assert "Verification: OK" in said


@pytest.mark.parametrize("port", [_CONTROLLER, _BROKERS])
def test_without_a_certificate_nobody_is_a_broker_or_a_controller(host: Host, port: int) -> None:
    assert "alert certificate required" in connect(host, port, "")
    keystore = "/etc/market-pulse/credentials/mp_kafka_broker_keystore"
    assert "alert" not in connect(host, port, f"-cert {keystore} -key {keystore}")


def test_the_broker_s_key_is_its_unit_s_alone(host: Host) -> None:
    for path in ("/etc/market-pulse/credentials", "/run/credentials/market-pulse-kafka.service"):
        for user in ("market-pulse-producer", "market-pulse-spark", "market-pulse-consumer", "postgres"):
            read = f"runuser -u {user} -- cat {path}/mp_kafka_broker_keystore"
            assert "Permission denied" in host.run(f"{read} 2>&1", check=False)
    # PostgreSQL's certificate is another one.
    server = host.run("openssl x509 -noout -subject -in /etc/postgresql/*/main/server.crt")
    assert "OU" not in server
    broker = host.run("openssl x509 -noout -subject -in /etc/market-pulse/credentials/mp_kafka_broker_keystore")
    assert "OU = kafka" in broker or "OU=kafka" in broker


def test_super_users_are_brokers_alone_and_each_acl_that_lets_read_or_write_is_on_one_topic(host: Host) -> None:
    properties = host.run("cat /etc/market-pulse/kafka/server.properties").splitlines()
    (super_users,) = [line for line in properties if line.startswith("super.users=")]
    assert super_users == f"super.users=User:CN={HOST_NAME},OU=kafka"
    assert "allow.everyone.if.no.acl.found=false" in properties
    allowed: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for block in host.run(f"/opt/kafka/bin/kafka-acls.sh {KAFKA_ADMIN} --list").split("Current ACLs for resource ")[1:]:
        (where,) = re.findall(r"resourceType=(\w+), name=([^,]+), patternType=LITERAL", block)
        allowed[" ".join(where)] |= set(re.findall(r"principal=User:([^,]+), .*?operation=(\w+)", block))
    (probes_own,) = allowed.keys() - {"TOPIC market.bars", "TOPIC *", "GROUP *"}
    assert probes_own.startswith("TOPIC market-pulse-probe-")
    assert allowed["TOPIC market.bars"] == {
        *(("producer", operation) for operation in ("WRITE", "DESCRIBE")),
        *((principal, operation) for principal in ("consumer", "monitor") for operation in ("READ", "DESCRIBE")),
        ("web", "READ"),
    }
    # The page about Kafka sees that there are others, and nothing that they hold.
    assert allowed["TOPIC *"] == {("web", "DESCRIBE"), ("web", "DESCRIBE_CONFIGS")}
    assert allowed["GROUP *"] == {("web", "DESCRIBE")}


@pytest.mark.parametrize("principal", ["producer", "consumer", "monitor", "web"])
def test_no_password_is_told(host: Host, deployment: Deployment, principal: str) -> None:
    password = deployment.secret(f"kafka_{principal}_password")
    for where in (
        "journalctl --no-pager",
        "cat /proc/[0-9]*/cmdline",
        "cat /proc/[0-9]*/environ",
        "systemctl show 'market-pulse-*'",
        "cat /etc/systemd/system/market-pulse-* /etc/market-pulse/*.env /etc/market-pulse/*/*.conf",
        "cat /var/lib/market-pulse/spark-worker/work/*/*/std*",
    ):
        count = f'read -r it; {where} 2>/dev/null | grep -a -c -F -f <(echo "$it") || true'
        assert host.run(count, stdin=f"{password}\n") == "0", where
