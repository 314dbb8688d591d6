"""A real Kafka broker in KRaft mode, one node, on free loopback ports, as closed as the role leaves it."""

import contextlib
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jinja2 import Environment, StrictUndefined
from kafka import KafkaAdminClient, TopicPartition
from pydantic import SecretStr

from integration.services.processes import CACHE, java, require, running, wait_until
from market_pulse import access
from market_pulse.kafka_login import Login, Principal
from market_pulse.settings import BrokerSettings
from market_pulse.topic import connect
from support.ports import free_port, listening
from support.repository import group_vars, role_vars

RELEASE: str = group_vars("versions")["kafka_version"]
# One that starts soon and stays small; it is half as fast as a deployment's, which has Java's usual compiler.
_QUICK_START = ["-Xms128m", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
_HOST = "127.0.0.1"
_KEYSTORE = "mp_kafka_broker_keystore"
# Of every principal, but for its name; the broker listens on loopback for the length of a test run.
_PASSWORD = uuid.uuid4().hex


@dataclass(frozen=True)
class Broker:
    """Where the broker answers, and what a test asks of it."""

    settings: BrokerSettings
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def bootstrap_servers(self) -> str:
        """Return the listener of the clients."""
        return self.settings.kafka_listener

    @property
    def options(self) -> dict[str, Any]:
        """Return what a client of kafka-python takes that may do everything, which no program of ours may."""
        return self.settings.broker_login.options

    def login(self, principal: Principal) -> Login:
        """Return a principal's way in."""
        return self.settings.login(principal, password_of(principal))

    def client(self, principal: Principal) -> dict[str, object]:
        """Return the settings by which a program gets in as a principal, but for the topic."""
        return {
            "kafka_authority": self.settings.kafka_authority,
            "kafka_bootstrap_servers": self.settings.kafka_listener,
            "kafka_password": SecretStr(password_of(principal)),
        }

    def environment(self) -> dict[str, str]:
        """Return the same as a unit's environment has it; the password is a credential of its own."""
        return {
            "MP_KAFKA_AUTHORITY": str(self.settings.kafka_authority),
            "MP_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
        }

    def own_environment(self) -> dict[str, str]:
        """Return what the unit of the broker has, and who sets its topic and its users."""
        settings = self.settings
        return self.environment() | {
            "CREDENTIALS_DIRECTORY": str(settings.credentials_directory),
            "MP_KAFKA_BROKER_LISTENER": settings.kafka_broker_listener,
            "MP_KAFKA_CONTROLLER_LISTENER": str(settings.kafka_controller_listener),
            "MP_KAFKA_LISTENER": settings.kafka_listener,
            "MP_KAFKA_NODE_ID": str(settings.kafka_node_id),
        }

    @contextlib.contextmanager
    def admin(self) -> Iterator[KafkaAdminClient]:
        """Give an admin client of the broker's own for the length of a block."""
        with connect(self.settings.broker_login) as client:
            yield client

    def create_topic(self, partitions: int = 3, name: str | None = None, **configs: str) -> str:
        """Create a topic that each principal has its rights on, by default under a new name, and return its name."""
        topic = name or f"bars-{uuid.uuid4().hex[:12]}"
        options = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
        with self.admin() as admin:
            admin.create_topics({topic: options}, wait_for_metadata=True)
            access.agree_on_acls(admin, access.rights(topic), only=False)
        return topic

    def segment(self, topic: str, partition: int) -> Path:
        """Return the file of a partition's first records."""
        return self.log.parent / "data" / f"{topic}-{partition}" / "00000000000000000000.log"

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Delete the records of a partition below an offset, as retention does."""
        with self.admin() as admin:
            admin.delete_records({TopicPartition(topic, partition): before})

    def delete_topic(self, topic: str) -> None:
        """Delete a topic and wait until the broker has forgotten it."""
        with self.admin() as admin:
            admin.delete_topics([topic])
            wait_until(lambda: topic not in admin.list_topics(), what=f"deletion of {topic}", seconds=30)


def password_of(principal: Principal) -> str:
    """Return a principal's password."""
    return f"{principal}-{_PASSWORD}"


@contextlib.contextmanager
def kafka_broker(
    directory: Path,
    port: int | None = None,
    *,
    joins: Broker | None = None,
    release: str = RELEASE,
    java_options: Sequence[str] = _QUICK_START,
) -> Iterator[Broker]:
    """Run a broker whose files are in `directory`; the same directory and port start the same broker again.

    One that `joins` another is the second node of its cluster.
    """
    libs = CACHE / f"kafka-{release}" / "libs"
    require(libs, say="run `make artifacts`, which fetches Kafka's jars into the cache")
    super_user = _certify(directory, joins)
    port, brokers, controllers = port or free_port(), free_port(), free_port()
    settings = BrokerSettings(
        kafka_authority=directory / "ca.crt",
        kafka_broker_keystore=(directory / _KEYSTORE).read_text(),
        kafka_broker_listener=f"{_HOST}:{brokers}",
        kafka_controller_listener=f"{_HOST}:{controllers}",
        kafka_listener=f"{_HOST}:{port}",
        kafka_node_id=1 if joins is None else 2,
        credentials_directory=directory,
    )
    properties, log = directory / "server.properties", directory / "broker.log"
    first = settings if joins is None else joins.settings
    lines = _properties(directory, settings, first) | _security(directory, super_user)
    properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    command = [java(), *java_options, "-cp", f"{libs}/*"]
    if not (directory / "data" / "meta.properties").exists():
        way = "--standalone" if joins is None else "--no-initial-controllers"
        storage = ["kafka.tools.StorageTool", "format", way, "-t", "bWFya2V0LXB1bHNlLXRlcw", "-c"]
        subprocess.run([*command, *storage, properties], check=True, stdout=subprocess.DEVNULL)
    with running([*command, "kafka.Kafka", properties], log=log) as process:
        wait_until(
            lambda: listening(brokers) or process.poll() is not None, what="the broker's start", seconds=60, log=log
        )
        broker = Broker(settings, log, process)
        with broker.admin() as admin:
            wait_until(
                lambda: admin.describe_cluster()["brokers"], what="the broker's registration", seconds=60, log=log
            )
            passwords = {principal: password_of(principal) for principal in Principal}
            access.agree_on_users(admin, settings.login("", ""), passwords)
        yield broker


def _properties(directory: Path, settings: BrokerSettings, first: BrokerSettings) -> dict[str, object]:
    return {
        "process.roles": "broker,controller",
        "node.id": settings.kafka_node_id,
        "controller.quorum.bootstrap.servers": first.kafka_controller_listener,
        "controller.quorum.auto.join.enable": "true",
        "inter.broker.listener.name": "BROKER",
        "listeners": f"CLIENT://{settings.kafka_listener},BROKER://{settings.kafka_broker_listener},"
        f"CONTROLLER://{settings.kafka_controller_listener}",
        "log.dirs": directory / "data",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        # Tests send records as of the days that they are set in: older than the week that a broker keeps by default.
        "log.retention.ms": -1,
        "log.retention.check.interval.ms": 1000,
        "log.segment.delete.delay.ms": 1000,
    }


def _security(directory: Path, super_user: str) -> dict[str, str]:
    """Return the lines by which the role closes a broker."""
    written = role_vars("kafka")
    values = {
        "_kafka_keystore": directory / _KEYSTORE,
        "_kafka_super_users": f"User:{super_user}",
        "market_pulse_paths": {"authority": directory / "ca.crt"},
    }
    jinja = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 - properties, no page
    return {key: jinja.from_string(text).render(values) for key, text in written["_kafka_security_properties"].items()}


def _certify(directory: Path, joins: Broker | None) -> str:
    """Make an authority and the broker's certificate, once, and return the certificate's subject."""
    keystore = directory / _KEYSTORE
    if not keystore.exists():
        theirs = None if joins is None else joins.log.parent
        authority = trustme.CA() if theirs is None else trustme.CA.from_pem(*_authority_in(theirs))
        authority.cert_pem.write_to_path(directory / "ca.crt")
        authority.private_key_pem.write_to_path(directory / "ca.key")
        certificate = authority.issue_cert(_HOST, common_name="broker", organization_unit_name="kafka")
        # Kafka reads keys in this form alone.
        key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        keystore.touch(mode=0o600)
        keystore.write_bytes(private + certificate.cert_chain_pems[0].bytes())
    text = keystore.read_bytes()
    return x509.load_pem_x509_certificate(text[text.index(b"-----BEGIN CERTIFICATE") :]).subject.rfc4514_string()


def _authority_in(directory: Path) -> tuple[bytes, bytes]:
    return (directory / "ca.crt").read_bytes(), (directory / "ca.key").read_bytes()
