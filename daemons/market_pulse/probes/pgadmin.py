"""pgAdmin, by the page that it has for this: it answers without a login, and leaves no session behind."""

import time
from collections.abc import Callable

import requests
from pydantic import Field

from market_pulse import health
from market_pulse.health import Verdict
from market_pulse.settings import Settings

_TIMEOUT_SECONDS = 5.0
_ANSWER = "PING"


class PgAdminProbeSettings(Settings):
    """Where pgAdmin listens, on loopback."""

    pgadmin_port: int = Field(gt=0, lt=65536)


def probe() -> Callable[[], Verdict]:
    """Return the probe of this host's pgAdmin.

    Raises:
        SettingsError: its port is not given.
    """
    address = f"http://127.0.0.1:{PgAdminProbeSettings.load().pgadmin_port}/misc/ping"

    def look() -> Verdict:
        asked = time.monotonic()
        try:
            answer = requests.get(address, timeout=_TIMEOUT_SECONDS, allow_redirects=False)
        except requests.RequestException as error:
            return Verdict(healthy=False, sentence=f"no answer: {type(error).__name__}")
        if answer.text != _ANSWER:
            return Verdict(healthy=False, sentence=f"another answer than {_ANSWER}, with status {answer.status_code}")
        return health.pgadmin(time.monotonic() - asked)

    return look
