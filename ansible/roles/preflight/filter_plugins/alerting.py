"""What is wrong with when and whom alerts tell; sentences as in preflight.py, and never a URL, which is a secret."""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "daemons"))

from market_pulse.alerts.quiet import QuietHours


def alert_problems(variables: Mapping[str, Any], urls: object, vault: str) -> list[str]:
    """Return what is wrong with the alerts' variables, and with the URLs in the vault; no URL at all is leave."""
    return [*_when(variables), *_whom(urls, vault)]


def _when(variables: Mapping[str, Any]) -> Iterator[str]:
    after, quiet = variables["market_pulse_alert_after_seconds"], variables["market_pulse_alert_quiet_hours"]
    if isinstance(after, bool) or not isinstance(after, int | float) or after < 0:
        yield f"market_pulse_alert_after_seconds is {after!r}: it must be a number of seconds, 0 or more"
    if quiet == "":
        return
    try:
        QuietHours.read(str(quiet))
    except ValueError as error:
        yield f"market_pulse_alert_quiet_hours is {error}"


def _whom(urls: object, vault: str) -> Iterator[str]:
    name = "vault_market_pulse_alert_urls"
    if not isinstance(urls, str):
        yield f"{name} is not text: in {vault}, write one URL a line under `{name}: |`, or nothing"
        return
    for number, line in enumerate((line for line in urls.splitlines() if line.strip()), 1):
        kind, separator, rest = line.strip().partition("://")
        if not (kind.isalnum() and separator and rest and rest.isprintable() and not set(rest) & set(" \t")):
            yield f"{name}, line {number}, is no URL such as mailtos://user:password@example.net: correct it in {vault}"


class FilterModule:
    """Ansible's way to find a filter."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filters by name."""
        return {"preflight_alert_problems": alert_problems}
