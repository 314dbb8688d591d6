"""Who gets into Kafka, and how far."""

import contextlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from kafka.errors import KafkaError

from integration.services.broker import Broker, password_of
from market_pulse import access
from market_pulse.kafka_login import BrokerLogin, Login, Principal, RefusedError, refusal
from market_pulse.topic import connect, look_up
from market_pulse_stream import replay
from support.waiting import eventually

Try = Callable[[Login, str], Any]
EVERYBODY = set(Principal)
# Enough for some attempts to log in.
_SECONDS = 3
_QUICK = {"bootstrap_timeout_ms": 5000, "request_timeout_ms": 5000}

pytestmark = [
    pytest.mark.usefixtures("left_sockets"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def other_topic(broker: Broker, topic: str) -> Iterator[str]:
    """A topic beside ours, that nobody was given anything on by its name."""
    assert topic
    with broker.admin() as admin:
        admin.create_topics({"unlisted": {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    yield "unlisted"
    broker.delete_topic("unlisted")


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """The certificate of an authority that is not ours."""
    path = tmp_path / "foreign.crt"
    trustme.CA().cert_pem.write_to_path(path)
    return path


def write(login: Login, topic: str) -> Any:
    with contextlib.closing(KafkaProducer(enable_idempotence=True, max_block_ms=5000, **_QUICK, **login.options)) as it:
        return it.send(topic, b"{}", partition=0).get(timeout=10)


def read(login: Login, topic: str) -> Any:
    with contextlib.closing(replay.reader(login)) as reader:
        place = TopicPartition(topic, 0)
        reader.assign([place])
        reader.seek_to_beginning(place)
        return eventually(lambda: reader.poll(timeout_ms=500), within=10, what="a record comes")


def join_a_group(login: Login, topic: str) -> Any:
    with contextlib.closing(KafkaConsumer(topic, group_id="mine", **_QUICK, **login.options)) as member:
        return eventually(lambda: member.poll(timeout_ms=500) or member.assignment(), within=10, what="it has joined")


def administer(act: Callable[[KafkaAdminClient, str], Any]) -> Try:
    def attempt(login: Login, topic: str) -> Any:
        with connect(login) as admin:
            return act(admin, topic)

    return attempt


_MINE = ACL("User:producer", "*", ACLOperation.ALL, ACLPermissionType.ALLOW, ResourcePattern(ResourceType.TOPIC, "t"))


def create_acl(admin: KafkaAdminClient, _: str) -> None:
    for error in admin.create_acls([_MINE])["failed"]:
        raise error()


@pytest.mark.parametrize(
    ("attempt", "allowed"),
    [
        pytest.param(look_up, EVERYBODY, id="describe"),
        pytest.param(write, {Principal.PRODUCER}, id="write"),
        pytest.param(read, {Principal.CONSUMER, Principal.MONITOR, Principal.WEB}, id="read"),
        pytest.param(join_a_group, set(), id="group"),
        pytest.param(administer(lambda admin, topic: admin.delete_topics([topic])), set(), id="delete topic"),
        pytest.param(
            administer(lambda admin, topic: admin.delete_records({TopicPartition(topic, 0): 1})), set(), id="delete"
        ),
        pytest.param(
            administer(lambda admin, _: admin.create_topics({"mine": {"num_partitions": 1, "replication_factor": 1}})),
            set(),
            id="create topic",
        ),
        pytest.param(administer(create_acl), set(), id="create ACL"),
        pytest.param(administer(lambda admin, _: access.agree_on_acls(admin, ())), set(), id="see who may do what"),
        pytest.param(
            administer(lambda admin, _: access.set_password(admin, Login("", Path(), "me", "x"))), set(), id="add user"
        ),
    ],
)
def test_each_principal_may_do_what_it_needs_and_no_more(
    broker: Broker, topic: str, attempt: Try, allowed: set[Principal]
) -> None:
    write(broker.login(Principal.PRODUCER), topic)
    refused = {}
    for principal in Principal:
        try:
            attempt(broker.login(principal), topic)
        except (KafkaError, access.AccessError) as error:
            refused[principal] = str(error)
    assert EVERYBODY - set(refused) == allowed
    assert [said for said in refused.values() if not re.search("Authorization|permission", said)] == []


# The page about Kafka tells that there are other topics, and nothing that they hold.
@pytest.mark.parametrize(("attempt", "allowed"), [(look_up, {Principal.WEB}), (write, set())])
def test_another_topic_is_nobodys(broker: Broker, other_topic: str, attempt: Try, allowed: set[Principal]) -> None:
    for principal in allowed:
        attempt(broker.login(principal), other_topic)
    for principal in EVERYBODY - allowed:
        login = broker.login(principal)
        with pytest.raises(KafkaError) as refused:
            attempt(login, other_topic)
        said = refusal(login, refused.value)
        assert said is not None
        assert f"lets {principal} in, but not do this, for want of an ACL: " in said


@pytest.mark.parametrize("principal", Principal)
def test_a_wrong_password_is_refused_by_name(broker: Broker, principal: Principal) -> None:
    login = replace(broker.login(principal), password="a guess")
    threads = threading.active_count()
    with pytest.raises(RefusedError, match=rf"{principal}.* (invalid credentials|as by a wrong password)") as error:
        connect(login, _SECONDS)
    assert "guess" not in str(error.value)
    assert threading.active_count() == threads


def test_whoever_trusts_another_authority_does_not_speak_with_the_broker(broker: Broker, foreign: Path) -> None:
    for login in (broker.login(Principal.PRODUCER), broker.settings.broker_login):
        with pytest.raises(RefusedError, match=f"is not vouched for by {foreign}"):
            connect(replace(login, authority=foreign), _SECONDS)


def test_a_broker_that_bears_another_name_is_not_spoken_with(broker: Broker) -> None:
    login = broker.login(Principal.PRODUCER)
    # Its certificate names the address.
    with pytest.raises(RefusedError, match="Hostname mismatch"):
        connect(replace(login, servers=login.servers.replace("127.0.0.1", "localhost")), _SECONDS)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("listener", ["kafka_listener", "kafka_broker_listener"])
def test_clear_text_and_old_encryption_are_refused(broker: Broker, listener: str) -> None:
    address = getattr(broker.settings, listener)
    with pytest.raises(KafkaError):
        connect(Stranger(address, Path(), Path(), own={"bootstrap_servers": address}), _SECONDS)
    assert handshake(broker, address, ssl.TLSVersion.TLSv1_1) is None
    assert handshake(broker, address, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    # What is inside speaks the newest alone; clients may be older.
    old = handshake(broker, address, ssl.TLSVersion.TLSv1_2)
    assert old == ("TLSv1.2" if listener == "kafka_listener" else None)


@pytest.mark.parametrize("authority", ["ours", "foreign"])
def test_without_a_brokers_certificate_nobody_is_a_broker(broker: Broker, authority: str, foreign: Path) -> None:
    options = broker.options
    if authority == "foreign":
        ca = trustme.CA()
        ca.issue_cert("127.0.0.1", common_name="broker").private_key_and_cert_chain_pem.write_to_path(foreign)
        options |= {"ssl_certfile": str(foreign)}
    else:
        del options["ssl_certfile"]
    with pytest.raises(KafkaError):
        connect(Stranger(broker.settings.kafka_broker_listener, Path(), Path(), own=options), _SECONDS)


@dataclass(frozen=True)
class Stranger(BrokerLogin):
    """Who tries to get in by other ways than ours."""

    own: dict[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """Return what nobody gave him."""
        return self.own


def handshake(broker: Broker, address: str, version: ssl.TLSVersion) -> str | None:
    """Return the version that the broker speaks with a client of exactly this one, or None if it does not."""
    context = ssl.create_default_context(cafile=broker.settings.kafka_authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, version
    host, _, port = address.partition(":")
    with (
        contextlib.suppress(ssl.SSLError, ConnectionError),
        socket.create_connection((host, int(port)), 5) as raw,
        context.wrap_socket(raw, server_hostname=host) as encrypted,
    ):
        return encrypted.version()
    return None


def test_users_and_rights_are_agreed_on_once_and_what_is_no_longer_wanted_goes(broker: Broker, topic: str) -> None:
    command = [sys.executable, "-m", "market_pulse.access"]
    environment = broker.own_environment() | {"PYTHONPATH": os.pathsep.join(sys.path)}

    def agree(*options: str, **changed: str) -> list[str]:
        passwords = {principal: password_of(principal) for principal in Principal} | changed
        done = subprocess.run(
            [*command, *options, topic],
            env=environment,
            input=json.dumps(passwords),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    login = broker.settings.login("intruder", "x")
    probe = f"{access.PROBE_PREFIX}7"
    with broker.admin() as admin:
        agree()
        assert agree() == []
        access.set_password(admin, login)
        access.set_password(admin, replace(login, principal=probe))
        access.agree_on_acls(admin, {_MINE, *access.probe_rights(probe)}, only=False)
        surplus = ["removed the user intruder", "no longer User:producer@* allow all topic t"]
        assert agree("--dry-run") == surplus
        assert access.lets_in(login)
        assert agree() == surplus
        assert not access.lets_in(login)
        assert access.lets_in(replace(login, principal=probe))
        assert agree("--dry-run", monitor="another") == ["set the password of monitor"]
        assert access.lets_in(broker.login(Principal.MONITOR))
        assert agree(monitor="another") == ["set the password of monitor"]
        assert not access.lets_in(broker.login(Principal.MONITOR))
        assert agree() == ["set the password of monitor"]
        assert access.lets_in(broker.login(Principal.MONITOR))
        access.agree_on_acls(admin, ())
        assert len(agree("--dry-run")) == len(access.rights(topic))
        assert len(agree()) == len(access.rights(topic))
        write(broker.login(Principal.PRODUCER), topic)


@pytest.mark.parametrize("given", ["", "[]", '{"producer": "x"}', '{"producer": "", "consumer": "x", "monitor": "x"}'])
def test_passwords_that_are_not_given_are_named(broker: Broker, given: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "market_pulse.access", "bars"],
        env=broker.own_environment() | {"PYTHONPATH": os.pathsep.join(sys.path)},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (os.EX_CONFIG, "")
    assert "password" in done.stderr
