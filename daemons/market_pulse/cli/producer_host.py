"""The producer's own files, for a command that speaks to it: its settings, its memory and its progress."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from market_pulse import progress
from market_pulse.cli.settings import CONFIG, PRODUCER_RUNTIME, PRODUCER_STATE
from market_pulse.errors import OrderError, SettingsError
from market_pulse.producer import store
from market_pulse.producer.environment import FileSettings
from market_pulse.producer.store import Store


@dataclass(frozen=True)
class ProducerHost:
    """Where the producer of this host has its files."""

    configuration: Path = CONFIG
    state: Path = PRODUCER_STATE
    runtime: Path = PRODUCER_RUNTIME

    def settings(self) -> FileSettings:
        """Return the producer's settings.

        Raises:
            OrderError: there is no producer here, or its settings are not for this user's eyes.
        """
        credentials = self.configuration / "credentials"
        if not (self.configuration / "producer.env").exists():
            raise OrderError("there is no producer on this host; the command belongs on the host that has one")
        if not os.access(credentials, os.R_OK | os.X_OK):
            raise OrderError(f"{credentials} is readable by root alone: use sudo")
        try:
            password = FileSettings.password_on_host(credentials)
            return FileSettings.read(self.configuration, credentials, kafka_password=password)
        except SettingsError as error:
            raise OrderError(f"the producer's settings are wrong: {error}") from None

    @contextlib.contextmanager
    def memory(self) -> Iterator[Store]:
        """Open the producer's memory in its owner's name, so that the producer can use every file of it afterwards.

        Raises:
            OrderError: the producer has none, for it has never run.
        """
        path = self.state / store.NAME
        if not path.exists():
            raise OrderError(f"{path} does not exist: the producer makes it at its first start")
        owner = path.stat()
        user, group = os.geteuid(), os.getegid()
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
        try:
            memory = Store(path)
            try:
                yield memory
            finally:
                memory.close()
        finally:
            os.seteuid(user)
            os.setegid(group)

    def progress(self) -> dict[str, JsonValue] | None:
        """Return what the producer did last, or None while it does not run."""
        return progress.read(self.runtime / progress.NAME)
