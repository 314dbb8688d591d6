"""What earlier deployments have left on Kafka's hosts decides about what may follow them."""

import base64

import pytest

from support.repository import ROOT

NUMBERS = {"a": 1, "b": 2, "c": 3}


@pytest.fixture(autouse=True)
def _filters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "ansible/roles/preflight/filter_plugins")


def slurped(text: str) -> dict[str, str]:
    return {"content": base64.b64encode(text.encode()).decode()} if text else {"msg": "no such file"}


def storage(node: int, cluster: str = "one") -> str:
    return f"#\nnode.id={node}\ncluster.id={cluster}\nversion=1\n"


def deployed(*hosts: str, roles: str = "broker,controller") -> str:
    users = ";".join(f"User:CN={host},OU=kafka" for host in hosts)
    return f"# Ansible managed\nprocess.roles={roles}\nsuper.users={users}\n"


def problems(
    files: dict[str, tuple[str, str]], *, controllers: str = "abc", brokers: str = "abc", **numbers: int
) -> list[str]:
    import kafka_nodes  # noqa: PLC0415 - found by the fixture

    asked = {host: [slurped(text) for text in files.get(host, ("", ""))] for host in NUMBERS}
    nodes = {"controllers": list(controllers), "brokers": list(brokers), "files": asked}
    return list(kafka_nodes.kafka_problems(NUMBERS | numbers, nodes))


def test_fresh_hosts_are_welcome() -> None:
    assert problems({}) == []


def test_one_host_may_become_three() -> None:
    assert problems({"a": (storage(1), deployed("a"))}) == []


def test_a_host_that_lost_its_disk_is_welcome_again() -> None:
    whole = deployed("a", "b", "c")
    assert problems({"a": (storage(1), whole), "b": ("", ""), "c": (storage(3), whole)}) == []


def test_a_cluster_does_not_shrink() -> None:
    (said,) = problems({"a": (storage(1), deployed("a", "b", "c", "d"))})
    assert said.startswith("the group kafka lacks d, which its cluster has: ")


def test_a_number_is_for_ever() -> None:
    (said,) = problems({"c": (storage(3), deployed("a", "b", "c"))}, c=4)
    assert said.startswith("kafka_node_id is 4 for c, and its storage is that of node 3: ")


def test_storages_of_two_clusters_are_not_mixed() -> None:
    (said,) = problems({"a": (storage(1), ""), "b": (storage(2, "two"), ""), "c": (storage(3), "")})
    assert said.startswith("the group kafka has storages of 2 clusters (a, c of one; b of two): ")


def test_a_voter_goes_on_voting() -> None:
    whole = deployed("a", "b", "c")
    files = {host: (storage(number), whole) for host, number in NUMBERS.items()}
    assert [said.split(":")[0] for said in problems(files, controllers="a")] == [
        "the group kafka_controller lacks b, which is a controller",
        "the group kafka_controller lacks c, which is a controller",
    ]


@pytest.mark.parametrize(
    ("controllers", "brokers", "words"),
    [("ab", "ab", "the group kafka has a, b, which all vote"), ("bc", "a", "the group kafka_controller has b, c: it ")],
)
def test_voters_are_odd_in_number(controllers: str, brokers: str, words: str) -> None:
    (said,) = problems({}, controllers=controllers, brokers=brokers)
    assert said.startswith(words)
