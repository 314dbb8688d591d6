"""What is wrong with Kafka's nodes: their numbers, who votes, and what their hosts hold of an earlier deployment.

Pure, and sentences as in preflight.py. A node's storage cannot be formatted a second time and a voter that was left out
of the inventory still counts, so what was deployed before decides about what may be deployed now.
"""

import base64
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

# The subject of a node's certificate, as the role kafka names it in super.users.
_SUBJECT = re.compile(r"User:CN=([^,;]+),OU=kafka")
_RESTORE = "a host that has lost its disk stays in its group, and is deployed again under the same kafka_node_id"


def number_problems(numbers: Mapping[str, Any]) -> Iterator[str]:
    """Yield nodes without a number of their own; a single one may do without."""
    owners: dict[int, list[str]] = defaultdict(list)
    for host, number in numbers.items():
        if number is None:
            if len(numbers) > 1:
                yield (
                    f"kafka_node_id is missing for {host}: with several Kafka hosts the inventory gives each one of "
                    "its own, which it keeps for ever; the one that was alone before is 1"
                )
        elif isinstance(number, bool) or not isinstance(number, int) or number < 1:
            yield f"kafka_node_id is {number!r} for {host}: it must be a whole number of at least 1"
        else:
            owners[number].append(host)
    for number, hosts in owners.items():
        if len(hosts) > 1:
            yield f"kafka_node_id is {number} for {' and '.join(hosts)}: each must have one of its own"


def controller_problems(controllers: Sequence[str], brokers: Sequence[str]) -> Iterator[str]:
    """Yield a number of voters that is even: one more would survive as little, and a tie is no majority."""
    if not controllers or len(controllers) % 2:
        return
    if list(controllers) == list(brokers):
        yield (
            f"the group kafka has {', '.join(brokers)}, which all vote, and an even number of voters survives no more "
            "than one less: name an odd number of them, or other hosts, in the group kafka_controller"
        )
    else:
        yield f"the group kafka_controller has {', '.join(controllers)}: it must have an odd number of hosts"


def storage_problems(numbers: Mapping[str, Any], storages: Mapping[str, str]) -> Iterator[str]:
    """Yield storages that are another node's, or of more than one cluster; `storages` are texts of meta.properties."""
    clusters: dict[str, list[str]] = defaultdict(list)
    for host, text in storages.items():
        held = _properties(text)
        if "cluster.id" in held:
            clusters[held["cluster.id"]].append(host)
        wanted = numbers[host] or 1
        if "node.id" in held and held["node.id"] != str(wanted):
            yield (
                f"kafka_node_id is {wanted!r} for {host}, and its storage is that of node {held['node.id']}: a node "
                "keeps its number for ever"
            )
    if len(clusters) > 1:
        found = "; ".join(f"{', '.join(hosts)} of {cluster}" for cluster, hosts in sorted(clusters.items()))
        yield (
            f"the group kafka has storages of {len(clusters)} clusters ({found}): take the hosts of another cluster "
            "out of it, or move their storage away"
        )


def deployed_problems(controllers: Sequence[str], brokers: Sequence[str], deployed: Mapping[str, str]) -> Iterator[str]:
    """Yield nodes that the cluster has and the inventory has not, or no longer in the same role.

    `deployed` are texts of server.properties as they are on the hosts now.
    """
    members = {
        host for text in deployed.values() for host in _SUBJECT.findall(_properties(text).get("super.users", ""))
    }
    for host in sorted(members - set(controllers) - set(brokers)):
        yield (
            f"the group kafka lacks {host}, which its cluster has: it holds records and votes, so a cluster is not "
            f"made smaller by leaving it out; {_RESTORE}"
        )
    for host, text in deployed.items():
        was = set(filter(None, _properties(text).get("process.roles", "").split(",")))
        for role, group, hosts in (("broker", "kafka", brokers), ("controller", "kafka_controller", controllers)):
            if role in was and host not in hosts:
                yield f"the group {group} lacks {host}, which is a {role}: a node keeps its role for ever"


def kafka_problems(numbers: Mapping[str, Any], nodes: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with Kafka's nodes; an empty list is leave to go on.

    Args:
        numbers: kafka_node_id by host, None where the inventory does not say it.
        nodes: controllers and brokers (hosts), and by host what it was asked for in the order storages
            (meta.properties) and deployed (server.properties), each as Ansible's slurp answers.
    """
    controllers, brokers = nodes["controllers"], nodes["brokers"]
    storages, deployed = ({host: _text(files[place]) for host, files in nodes["files"].items()} for place in (0, 1))
    return [
        *number_problems(numbers),
        *controller_problems(controllers, brokers),
        *storage_problems(numbers, storages),
        *deployed_problems(controllers, brokers, deployed),
    ]


def _text(slurped: Mapping[str, Any]) -> str:
    """Return a file's text, and nothing for a file that is not there."""
    return base64.b64decode(slurped.get("content", "")).decode()


def _properties(text: str) -> dict[str, str]:
    """Return the lines of a properties file."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


class FilterModule:
    """Ansible's way to find a filter."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filters by name."""
        return {"preflight_kafka_problems": kafka_problems}
