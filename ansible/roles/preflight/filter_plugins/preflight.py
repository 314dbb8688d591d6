"""What is wrong with an inventory, in sentences that name the variable and say what it should be.

Pure: variables and facts in, sentences out. The bar's contract is asked for what a symbol and an interval are.
"""

import difflib
import ipaddress
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "daemons"))

from market_pulse.contract import SYMBOL, Interval

SOURCES = ("simulator", "alphavantage", "replay")
PLANS = ("free", "premium")
_LAST_PORT = 65535

Variables = Mapping[str, Any]


def symbol_problems(symbols: object) -> Iterator[str]:
    """Yield what keeps `market_pulse_symbols` from being a list of different tickers."""
    name, example = "market_pulse_symbols", "a list of tickers such as [AAPL, IBM]"
    if symbols is None:
        yield f"{name} is missing: the inventory must give {example}"
    elif not isinstance(symbols, list):
        yield f"{name} is {symbols!r}: it must be {example}, even for a single one"
    elif not symbols:
        yield f"{name} is empty: it must be {example}"
    else:
        for position, symbol in enumerate(symbols, 1):
            if not isinstance(symbol, str):
                yield (
                    f"{name}, item {position}, is {symbol!r} and not text: YAML reads ON, YES, NO, TRUE and numbers as "
                    'values of its own, so quote it, as in "ON"'
                )
            elif not SYMBOL.fullmatch(symbol):
                yield f"{name}, item {position}, is {symbol!r}: a ticker matches {SYMBOL.pattern}"
        for symbol, times in Counter(map(str, symbols)).items():
            if times > 1:
                yield f"{name} has {symbol} {times} times: name each ticker once"


def choice_problems(variables: Variables) -> Iterator[str]:
    """Yield values outside a closed set, and pairs of values that exclude each other."""
    intervals = [interval.value for interval in Interval]
    for name, known in (
        ("market_pulse_source", SOURCES),
        ("market_pulse_vendor_plan", PLANS),
        ("market_pulse_interval", intervals),
    ):
        if variables[name] not in known:
            yield f"{name} is {variables[name]!r}: it must be one of {', '.join(known)}"
    interval = variables["market_pulse_interval"]
    if variables["market_pulse_vendor_plan"] == "free" and interval in intervals and interval != Interval.DAILY:
        yield (
            f"market_pulse_interval is {interval!r}, and the free plan serves daily bars alone: make it daily, or "
            "market_pulse_vendor_plan premium"
        )


def clock_problems(variables: Variables) -> Iterator[str]:
    """Yield what is wrong with the market's clock."""
    speed, source = variables["market_pulse_clock_speed"], variables["market_pulse_source"]
    if isinstance(speed, bool) or not isinstance(speed, int | float) or speed <= 0:
        yield f"market_pulse_clock_speed is {speed!r}: it must be a number above 0; 1 is real time"
    elif speed != 1 and source != "simulator":
        yield f"market_pulse_clock_speed is {speed}: it must be 1 with market_pulse_source {source}, a real market"
    start = variables["market_pulse_clock_market_start"]
    try:
        aware = datetime.fromisoformat(str(start)).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        yield f"market_pulse_clock_market_start is {start!r}: it must be an instant such as 2026-01-05T14:30:00Z"


def port_problems(ports: object, tiers: Iterable[str], all_tiers: Iterable[str]) -> Iterator[str]:
    """Yield ports that are none, and ports that two services of one host would share."""
    if not isinstance(ports, Mapping):
        yield f"market_pulse_ports is {ports!r}: it must be a dictionary of service and port"
        return
    for service, port in ports.items():
        if isinstance(port, bool) or not isinstance(port, int) or not 0 < port <= _LAST_PORT:
            yield f"market_pulse_ports.{service} is {port!r}: it must be a whole number from 1 to {_LAST_PORT}"
    services: dict[object, list[str]] = {}
    for service, port in ports.items():
        if _tier_of(service, all_tiers) in tiers:
            services.setdefault(port, []).append(f"market_pulse_ports.{service}")
    for port, names in services.items():
        if len(names) > 1:
            yield f"{' and '.join(names)} are both {port!r}: on one host each must have a port of its own"


def _tier_of(service: str, tiers: Iterable[str]) -> str:
    """Return the tier whose host listens on a service's port; the Spark driver is the consumer."""
    if service.startswith("spark_driver"):
        return "consumer"
    return max((tier for tier in tiers if service.startswith(tier)), key=len, default=service)


def secret_problems(secrets: Mapping[str, object], vault: str) -> Iterator[str]:
    """Yield secrets that are missing or not usable; never their values."""
    for name, value in secrets.items():
        if not isinstance(value, str) or not value:
            yield (
                f"{name} is missing or empty: the vault must give vault_{name} a value; the playbook secrets.yml makes "
                f"a vault, and `ansible-vault edit {vault}` changes one"
            )
        elif value != value.strip() or not value.isprintable():
            yield f"vault_{name} has white space around it or characters that cannot be printed: take them away"


def group_problems(variables: Variables, groups: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield tiers that no host has."""
    for tier in variables["market_pulse_tiers"]:
        if not groups.get(tier) and (tier != "simulator" or variables["market_pulse_source"] == "simulator"):
            yield f"the group {tier} has no host: the inventory must name one for it"


def network_problems(networks: object) -> Iterator[str]:
    """Yield networks that are none, and those that are everybody."""
    for network in networks if isinstance(networks, list) else [networks]:
        try:
            everybody = ipaddress.ip_network(network).prefixlen == 0
        except ValueError as error:
            yield f"market_pulse_bi_networks has {network!r} ({error}): it must list networks such as 192.168.10.0/24"
        else:
            if everybody:
                yield f"market_pulse_bi_networks has {network}, which is everybody: name the analysts' network"


def name_problems(names: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """Yield variables with this project's prefix that it does not have, and what was probably meant."""
    known = sorted(known)
    for name in sorted(set(names) - set(known)):
        meant = difflib.get_close_matches(name, known, n=1)
        yield f"{name} is not a variable of this project" + (f": did you mean {meant[0]}?" if meant else "")


def system_problems(facts: Variables, releases: Iterable[str]) -> Iterator[str]:
    """Yield what this project cannot run on."""
    system = f"{facts['distribution']} {facts['distribution_major_version']}"
    if facts["distribution"] != "Debian" or str(facts["distribution_major_version"]) not in releases:
        yield f"the host runs {system}: it must run Debian {' or '.join(releases)}"
    if facts["architecture"] != "x86_64":
        yield f"the host is {facts['architecture']}: it must be x86_64"
    if facts["service_mgr"] != "systemd":
        yield f"process 1 of the host is {facts['service_mgr']}: it must be systemd"


def problems(variables: Variables, surroundings: Variables) -> list[str]:
    """Return everything that keeps a host from being deployed; an empty list is leave to go on.

    Args:
        variables: the values of the `market_pulse_*` variables that have a value without a vault.
        surroundings: names, known, secrets, vault, groups, tiers (of this host), facts, releases.
    """
    found = [
        *symbol_problems(variables["market_pulse_symbols"]),
        *choice_problems(variables),
        *clock_problems(variables),
        *port_problems(variables["market_pulse_ports"], surroundings["tiers"], variables["market_pulse_tiers"]),
        *network_problems(variables["market_pulse_bi_networks"]),
        *group_problems(variables, surroundings["groups"]),
        *secret_problems(surroundings["secrets"], surroundings["vault"]),
        *name_problems(surroundings["names"], surroundings["known"]),
        *system_problems(surroundings["facts"], surroundings["releases"]),
    ]
    return sorted(set(found), key=found.index)


class FilterModule:
    """Ansible's way to find a filter."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filters by name."""
        return {"preflight_problems": problems}
