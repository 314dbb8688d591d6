"""The Vagrant machine: what its Vagrantfile, its inventory and the README say of one thing is the same."""

import ipaddress
import re
from typing import Any

import yaml

from support.repository import ANSIBLE, ROOT, group_vars

VAGRANTFILE = (ROOT / "vagrant/Vagrantfile").read_text()
README = (ROOT / "README.md").read_text()
PIPELINE = group_vars("pipeline")
SECTION = README[README.index("## In a virtual machine") : README.index("## Use it on your hosts")]


def inventory(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ANSIBLE / "inventories" / name / "hosts.yml").read_text())["all"]
    return loaded


MACHINE = inventory("vagrant")
((NAME, HOST),) = MACHINE["hosts"].items()


def forwarded() -> list[int]:
    """Return the ports that the Vagrantfile takes from pipeline.yml by name."""
    (names,) = re.findall(r"\['market_pulse_ports'\]\.values_at\(([^)]*)\)", VAGRANTFILE)
    return [PIPELINE["market_pulse_ports"][name.strip("' \n")] for name in names.split(",")]


def test_every_tier_is_on_the_one_machine() -> None:
    tiers = {tier: {"hosts": {NAME: None}} for tier in PIPELINE["market_pulse_tiers"] if tier != "kafka_controller"}
    # It needs a machine of its own.
    assert MACHINE["children"] == tiers | {"postgresql_standby": {"hosts": {}}}


def test_its_market_is_the_labs() -> None:
    def market(variables: dict[str, object]) -> dict[str, object]:
        prefix = "market_pulse_"
        return {key: value for key, value in variables.items() if key.startswith(prefix) and "networks" not in key}

    assert market(MACHINE["vars"]) == market(inventory("lab")["vars"])


def test_the_computer_that_runs_it_may_ask_as_an_analyst() -> None:
    networks = [ipaddress.ip_network(network) for network in MACHINE["vars"]["market_pulse_bi_networks"]]
    # Vagrant gives this computer the network's first address.
    address = ipaddress.ip_address(HOST["ansible_host"])
    assert [network for network in networks if address in network and network.prefixlen == 24]


def test_the_readme_shows_its_address_and_ports() -> None:
    assert HOST["ansible_host"] in SECTION
    assert [port for port in forwarded() if not re.search(rf"[:`]{port}`", SECTION)] == []


def test_every_page_is_forwarded() -> None:
    tunnelled = {int(port) for port in re.findall(r"-L (\d+):127\.0\.0\.1:", README)}
    assert tunnelled
    assert tunnelled - set(forwarded()) == set()


def test_the_message_shows_where_the_secrets_are() -> None:
    written = group_vars("secrets")["market_pulse_secrets_directory"]
    meant = written.replace("{{ lookup('ansible.builtin.env', 'HOME') }}", "$HOME")
    meant = meant.replace("{{ inventory_dir | basename }}", "vagrant")
    assert f"secrets = '{meant}'" in VAGRANTFILE
    assert meant.replace("$HOME", "~") in SECTION


def test_its_box_is_of_a_release_that_is_supported() -> None:
    ((codename, release),) = re.findall(r"box = 'debian/(\w+)64'\n\s+config\.vm\.box_version = '(\d+)\.", VAGRANTFILE)
    assert group_vars("versions")["debian_releases"][release]["codename"] == codename


def test_every_tier_can_be_deployed_by_its_name() -> None:
    plays = yaml.safe_load((ANSIBLE / "site.yml").read_text())
    tagged = [play for play in plays if play.get("tags", ["always"]) != ["always"]]
    assert [play["name"] for play in tagged if play["tags"] != play["hosts"].removesuffix("[0]").split(":")] == []
    assert {tag for play in tagged for tag in play["tags"]} == set(PIPELINE["market_pulse_tiers"])
    needed = [play for play in plays[: plays.index(tagged[0])] if play not in tagged]
    assert [play["name"] for play in needed if play.get("tags") != ["always"]] == []
