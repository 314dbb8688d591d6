"""What is wrong with where an inventory puts the tiers, and with the hosts themselves; sentences as in preflight.py."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

_STANDBY = "postgresql_standby"
# Any number of hosts, or none, which is the same as to leave the group out.
_OPTIONAL = ("kafka_controller", _STANDBY)
# One host, or none.
_OPTIONAL_ONE = ("web", "pgadmin")
_MANY = ("kafka", "spark_worker")

Groups = Mapping[str, list[str]]
Variables = Mapping[str, Any]


def group_problems(groups: Groups, tiers: Iterable[str], source: str) -> list[str]:
    """Return the tiers with too few or too many hosts: some have one alone, some may have many, some none."""
    found = [problem for tier in tiers for problem in _tier_problems(tier, groups.get(tier, []), source)]
    return [*found, *standby_problems(groups)]


def standby_problems(groups: Groups) -> Iterator[str]:
    """Yield standbys that would be of no use; there may be none."""
    for host in groups.get(_STANDBY, []):
        if host in groups.get("postgresql", []):
            yield (
                f"the groups postgresql and {_STANDBY} both have {host}: a standby takes over when the primary's host "
                "is lost, so it must be another one"
            )


def _tier_problems(tier: str, hosts: list[str], source: str) -> Iterator[str]:
    if tier in _OPTIONAL:
        return
    has = f"the group {tier} has {', '.join(hosts) or 'no host'}"
    if tier == "simulator" and source != "simulator":
        if hosts:
            yield f"{has}: with market_pulse_source {source} it must have none"
    elif not hosts and tier not in _OPTIONAL_ONE:
        yield f"{has}: the inventory must name one for it"
    elif len(hosts) > 1 and tier not in _MANY:
        yield f"{has}: it must have exactly one host"


def system_problems(facts: Variables, releases: Iterable[str]) -> Iterator[str]:
    """Yield what this project cannot run on."""
    system = f"{facts['distribution']} {facts['distribution_major_version']}"
    if facts["distribution"] != "Debian" or str(facts["distribution_major_version"]) not in releases:
        yield f"the host runs {system}: it must run Debian {' or '.join(releases)}"
    if facts["architecture"] != "x86_64":
        yield f"the host is {facts['architecture']}: it must be x86_64"
    if facts["service_mgr"] != "systemd":
        yield f"process 1 of the host is {facts['service_mgr']}: it must be systemd"


def address_problems(address: str, own: Iterable[str], networks: object, hosts: Iterable[str]) -> Iterator[str]:
    """Yield an address that services could not listen on, where others than the host itself connect to them."""
    if (networks or len(set(hosts)) > 1) and address not in own:
        yield (
            f"ansible_host is {address!r}, and the host has {', '.join(own) or 'no address'}: it must be one of these: "
            "services listen on it where market_pulse_bi_networks is set or there are several hosts"
        )


def host_problems(facts: Variables, surroundings: Variables) -> list[str]:
    """Return what keeps a host from being deployed, whatever is to run there; an empty list is leave to go on.

    Args:
        facts: the host's distribution, distribution_major_version, architecture, service_mgr and all_ipv4_addresses.
        surroundings: address (by which Ansible reaches it), networks (of the analysts), groups, tiers (all), releases.
    """
    hosts = {host for tier in surroundings["tiers"] for host in surroundings["groups"].get(tier, [])}
    own = facts["all_ipv4_addresses"]
    return [
        *system_problems(facts, surroundings["releases"]),
        *address_problems(surroundings["address"], own, surroundings["networks"], hosts),
    ]


class FilterModule:
    """Ansible's way to find a filter."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filters by name."""
        return {"preflight_group_problems": group_problems, "preflight_host_problems": host_problems}
