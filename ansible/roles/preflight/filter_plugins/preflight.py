"""What is wrong with an inventory, in sentences that name the variable and say what it should be.

Pure, as its neighbours are: variables and facts in, sentences out.
"""

import difflib
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

_LAST_PORT = 65535
# The auditor looks back for a month, and vendors correct what is younger.
_FEWEST_MONTHS = 2
_FEWEST_MONTHS_AHEAD = 2

Variables = Mapping[str, Any]


def port_problems(
    ports: object, services: Iterable[str], tiers: Iterable[str], all_tiers: Iterable[str]
) -> Iterator[str]:
    """Yield services without a port, ports that are none, and ports that two services of one host would share."""
    if not isinstance(ports, Mapping):
        yield f"market_pulse_ports is {ports!r}: it must be a dictionary of service and port"
        return
    services = list(services)
    lacking = [service for service in services if service not in ports]
    surplus = [str(service) for service in ports if service not in services]
    for what, names in (("lacks", lacking), ("has the unknown", surplus)):
        if names:
            yield f"market_pulse_ports {what} {', '.join(names)}: give all of {', '.join(services)}, and no other"
    for service, port in ports.items():
        if isinstance(port, bool) or not isinstance(port, int) or not 0 < port <= _LAST_PORT:
            yield f"market_pulse_ports.{service} is {port!r}: it must be a whole number from 1 to {_LAST_PORT}"
    # A standby listens where the primary does.
    tiers = {tier.removesuffix("_standby") for tier in tiers}
    listeners: dict[object, list[str]] = {}
    for service in services:
        if service in ports and not _tiers_of(service, all_tiers).isdisjoint(tiers):
            listeners.setdefault(ports[service], []).append(f"market_pulse_ports.{service}")
    for port, names in listeners.items():
        if len(names) > 1:
            yield f"{' and '.join(names)} are both {port!r}: on one host each must have a port of its own"


def _tiers_of(service: str, tiers: Iterable[str]) -> set[str]:
    """Return the tiers whose hosts listen on a service's port; the Spark driver is the consumer."""
    if service.startswith("spark_driver"):
        return {"consumer"}
    if service == "kafka_controller":
        return {"kafka", service}
    return {max((tier for tier in tiers if service.startswith(tier)), key=len, default=service)}


def secret_problems(secrets: Mapping[str, object], vault: str) -> Iterator[str]:
    """Yield secrets that are missing or not usable; never their values."""
    for name, value in secrets.items():
        if value not in (None, "") and not isinstance(value, str):
            yield f"vault_{name} is a number or another value of YAML's own and not text: quote it in {vault}"
        elif not value:
            yield (
                f"{name} is missing or empty: the vault must give vault_{name} a value; the playbook secrets.yml makes "
                f"a vault, and `ansible-vault edit {vault}` changes one"
            )
        elif value != value.strip() or not value.isprintable():
            yield f"vault_{name} has white space around it or characters that cannot be printed: take them away"


def network_problems(variables: Variables) -> Iterator[str]:
    """Yield networks that are none, analysts that would be everybody, and operators that would be nobody."""
    for name in ("market_pulse_bi_networks", "market_pulse_admin_networks"):
        networks = variables[name]
        if not isinstance(networks, list):
            yield f"{name} is {networks!r}: it must be a list such as [192.168.10.0/24]; [] is nobody"
            continue
        for network in networks:
            try:
                # A number would be taken for an address.
                everybody = ipaddress.ip_network(str(network)).prefixlen == 0
            except ValueError as error:
                yield f"{name} has {network!r} ({error}): it must list networks such as 192.168.10.0/24"
            else:
                if everybody and name == "market_pulse_bi_networks":
                    yield f"{name} has {network}, which is everybody: name the analysts' network"
    if variables["market_pulse_admin_networks"] == []:
        yield "market_pulse_admin_networks is empty: it must name a network, or nobody could reach the host by ssh"


def web_problems(variables: Variables) -> Iterator[str]:
    """Yield a live page that would be on a LAN which nobody is on."""
    is_on_lan = variables["market_pulse_web_on_lan"]
    if not isinstance(is_on_lan, bool):
        yield f"market_pulse_web_on_lan is {is_on_lan!r}: it must be true or false"
    elif is_on_lan and not variables["market_pulse_bi_networks"]:
        yield "market_pulse_web_on_lan is true: then market_pulse_bi_networks must name the networks it is open to"


def name_problems(names: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """Yield variables with this project's prefix that it does not have, and what was probably meant."""
    known = sorted(known)
    for name in sorted(set(names) - set(known)):
        meant = difflib.get_close_matches(name, known, n=1)
        yield f"{name} is not a variable of this project" + (f": did you mean {meant[0]}?" if meant else "")


def fixed_problems(variables: Variables, project: Variables) -> Iterator[str]:
    """Yield variables that more than Ansible knows by heart, where their values differ from the project's."""
    for name in (
        "market_pulse_accounts",
        "market_pulse_backup_stanza",
        "market_pulse_paths",
        "market_pulse_tiers",
        "market_pulse_spark_security",
    ):
        if variables[name] != project[name]:
            yield f"{name} is not settable: SQL, units and playbook say the same; take it out of the inventory"


def size_problems(variables: Variables) -> Iterator[str]:
    """Yield sizes of topic and backups that would lose bars; what the inventory does not say is the role's."""
    for name, least in (
        ("kafka_topic_retention_days", 7),
        ("kafka_topic_max_gibibytes", 1),
        ("market_pulse_backup_keep_days", 1),
        ("market_pulse_backup_full_days", 1),
        ("market_pulse_backup_wal_gibibytes", 1),
        ("postgresql_standby_wal_gibibytes", 1),
    ):
        value = variables[name]
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            yield f"{name} is {value!r}: it must be a whole number of at least {least}"


def keeping_problems(variables: Variables) -> Iterator[str]:
    """Yield what producer and auditor could not agree on, and months that would leave while they are looked at."""
    settle, extended = variables["market_pulse_settle_seconds"], variables["market_pulse_extended_hours"]
    if isinstance(settle, bool) or not isinstance(settle, int | float) or settle < 0:
        yield f"market_pulse_settle_seconds is {settle!r}: it must be a number of seconds, 0 or more"
    if not isinstance(extended, bool):
        yield f"market_pulse_extended_hours is {extended!r}: it must be true or false"
    months = variables["market_pulse_keep_months"]
    if isinstance(months, bool) or not isinstance(months, int) or (months != 0 and months < _FEWEST_MONTHS):
        yield (
            f"market_pulse_keep_months is {months!r}: it must be 0, which is for ever, or a whole number of at least "
            f"{_FEWEST_MONTHS}"
        )


def upkeep_problems(months_ahead: object) -> Iterator[str]:
    """Yield what the upkeep would refuse; what the inventory does not say is the role's."""
    if months_ahead is None:
        return
    if isinstance(months_ahead, bool) or not isinstance(months_ahead, int) or months_ahead < _FEWEST_MONTHS_AHEAD:
        yield f"upkeep_months_ahead is {months_ahead!r}: it must be a whole number of at least {_FEWEST_MONTHS_AHEAD}"


def problems(variables: Variables, surroundings: Variables) -> list[str]:
    """Return what is wrong with a host's variables; an empty list is leave to go on.

    Args:
        variables: the values of the variables that have a value without a vault; None for those without any.
        surroundings: project (the values of pipeline.yml), names, known, secrets, vault, tiers (of this host).
    """
    project, tiers = surroundings["project"], surroundings["tiers"]
    found = [
        *port_problems(
            variables["market_pulse_ports"], project["market_pulse_ports"], tiers, project["market_pulse_tiers"]
        ),
        *network_problems(variables),
        *web_problems(variables),
        *size_problems(variables),
        *keeping_problems(variables),
        *upkeep_problems(variables["upkeep_months_ahead"]),
        *fixed_problems(variables, project),
        *secret_problems(surroundings["secrets"], surroundings["vault"]),
        *name_problems(surroundings["names"], surroundings["known"]),
    ]
    return sorted(set(found), key=found.index)


class FilterModule:
    """Ansible's way to find a filter."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filters by name."""
        return {"preflight_problems": problems}
