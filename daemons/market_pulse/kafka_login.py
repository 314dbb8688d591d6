"""How a program gets into Kafka: as whom, by what proof, and, when it does not, why.

Clients prove a password by SCRAM, the broker's own host proves the broker's key; either way the session is encrypted,
and the broker has to bear the name by which it was called.
"""

import contextlib
import enum
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka.errors import (
    AuthorizationError,
    KafkaError,
    KafkaTimeoutError,
    RequestTimedOutError,
    SaslAuthenticationFailedError,
)

MECHANISM = "SCRAM-SHA-512"
# In a row, before the deadline of any of our clients.
_CUT_OFF_TIMES = 2

# How the attempts end as a whole, and how the last of them may end, for want of time: neither says why.
_TIMEOUTS = (KafkaTimeoutError, RequestTimedOutError)
# What kept it from connecting, the client tells this logger alone: what it raises in the end is a timeout.
_CLIENT_LOG = logging.getLogger("kafka.net.manager")


class Principal(enum.StrEnum):
    """Who logs in with a password from the vault; the value is the user's name. See `market_pulse.access`."""

    PRODUCER = "producer"
    CONSUMER = "consumer"
    MONITOR = "monitor"
    WEB = "web"


class RefusedError(KafkaError):  # type: ignore[misc] # the client is untyped
    """Kafka does not let a principal in, or not do what it wants to."""


class _CutOffError(KafkaError):  # type: ignore[misc] # the client is untyped
    """The broker hung up at the login."""


@dataclass(frozen=True)
class Login:
    """A principal with its password, for the listener of the clients; `servers` is ``host:port,host:port``."""

    servers: str
    authority: Path
    principal: str
    password: str = field(repr=False)

    @property
    def options(self) -> dict[str, Any]:
        """Return what every client of kafka-python takes."""
        return _encrypted(self.servers, self.authority) | {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": MECHANISM,
            "sasl_plain_username": self.principal,
            "sasl_plain_password": self.password,
        }


@dataclass(frozen=True)
class BrokerLogin:
    """The broker itself, which may do everything, for the listener of the brokers.

    `keystore` is a PEM file with its key and its certificate.
    """

    servers: str
    authority: Path
    keystore: Path
    principal: str = "the broker"

    @property
    def options(self) -> dict[str, Any]:
        """Return what every client of kafka-python takes."""
        return _encrypted(self.servers, self.authority) | {
            "security_protocol": "SSL",
            "ssl_certfile": str(self.keystore),
        }


def _encrypted(servers: str, authority: Path) -> dict[str, Any]:
    return {"bootstrap_servers": servers.split(","), "ssl_cafile": str(authority), "ssl_check_hostname": True}


@contextlib.contextmanager
def explained(login: Login | BrokerLogin) -> Iterator[None]:
    """Say in an error of a client who was refused, and why, where being refused is the reason.

    Raises:
        RefusedError: instead of the client's own error; every other one is left as it is.
    """
    heard = _Heard(login)
    level, propagates = _CLIENT_LOG.level, _CLIENT_LOG.propagate
    _CLIENT_LOG.addHandler(heard)
    _CLIENT_LOG.setLevel(logging.WARNING)
    _CLIENT_LOG.propagate = False
    try:
        yield
    except KafkaError as error:
        sentence = refusal(login, error) or heard.refusal
        if sentence is None or isinstance(error, RefusedError):
            raise
        raise RefusedError(sentence) from error
    finally:
        _CLIENT_LOG.removeHandler(heard)
        _CLIENT_LOG.setLevel(level)
        _CLIENT_LOG.propagate = propagates


def refusal(login: Login | BrokerLogin, error: BaseException) -> str | None:
    """Return who is refused what, or None if the error is another one, such as a broker that does not answer."""
    said = " ".join(str(error).split())
    if isinstance(error, RefusedError):
        return " ".join(map(str, error.args))
    # The answer about a producer's id comes as text alone.
    if isinstance(error, AuthorizationError) or "AuthorizationFailedError" in said:
        return f"Kafka at {login.servers} lets {login.principal} in, but not do this, for want of an ACL: {said}"
    if isinstance(error, SaslAuthenticationFailedError):
        return f"Kafka at {login.servers} does not let {login.principal} in: {said}"
    if isinstance(error, _CutOffError):
        return f"Kafka at {login.servers} ends each session of {login.principal} at its login, as by a wrong password"
    if "certificate verify failed" in said:
        return f"what answers at {login.servers} is not vouched for by {login.authority}: {said}"
    return None


class _Heard(logging.Handler):
    """Gathers from the errors that are arguments of records how the attempts to connect ended."""

    def __init__(self, login: Login | BrokerLogin) -> None:
        super().__init__()
        self._login = login
        self._refusal: str | None = None
        self._cut_off = 0

    @property
    def refusal(self) -> str | None:
        """Return who is refused what, or None if that was not the reason.

        The broker answers a wrong password and hangs up, and the client forgets the answer of one who has hung up
        already (kafka-python 3.0.12): every attempt ends so, where that of a broker that restarts ends so once.
        """
        return self._refusal or (refusal(self._login, _CutOffError()) if self._cut_off >= _CUT_OFF_TIMES else None)

    def emit(self, record: logging.LogRecord) -> None:
        for argument in record.args if isinstance(record.args, tuple) else ():
            if isinstance(argument, BaseException) and not isinstance(argument, _TIMEOUTS):
                self._refusal = refusal(self._login, argument) or self._refusal
                self._cut_off = self._cut_off + 1 if "socket disconnected" in str(argument) else 0
