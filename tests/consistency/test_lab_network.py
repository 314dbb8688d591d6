"""A lab's network in a network namespace of its own: made again after a run was cut short, gone without a trace."""

import os
import subprocess

from support.repository import ANSIBLE

NETWORK = ANSIBLE / "roles/lab_host/files/network.sh"
LAB = {
    "LAB_BRIDGE": "mp-net",
    "LAB_DIRECTORY": "/labs/one lab",
    "LAB_NETWORK": "10.99.9.0/24",
    "LAB_GATEWAY": "10.99.9.1",
}
TRACES = "ip -br link show type bridge; nft list tables; ls /run; cat /proc/sys/net/ipv4/ip_forward"
# By another name than iptables', where that is installed: what it has made, the lab opens by itself.
DROP = "nft add table ip site; nft add chain ip site forward '{ type filter hook forward priority 0; policy drop; }'"


def in_a_namespace(script: str) -> list[str]:
    """Run shell commands where `network up` and `network down` are those of a lab, and return the lines they print."""
    prepare = "mount -t sysfs none /sys; mount -t tmpfs none /run; echo 0 >/proc/sys/net/ipv4/ip_forward"
    whole = f"set -e; {prepare}; network() {{ sh {NETWORK} $1; }}; {script}"
    mapped = [] if os.geteuid() == 0 else ["--map-root-user"]
    done = subprocess.run(
        ["unshare", *mapped, "--net", "--mount", "sh", "-c", whole],
        env=os.environ | LAB,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_it_comes_and_goes_whole() -> None:
    printed = in_a_namespace(f"network up; network up; {TRACES}; network down; network down; {TRACES}")
    assert printed[0] == "made the network 10.99.9.0/24 on mp-net"
    assert printed[1].split()[0] == "mp-net"
    assert printed[2:] == [
        "table ip market_pulse_mp_net",
        "market-pulse-lab.ip_forward",
        "1",
        "removed the network 10.99.9.0/24",
        "0",
    ]


def test_a_run_cut_short_is_made_up_for() -> None:
    started = 'ip link add name mp-net type bridge; ip link set mp-net alias "$LAB_DIRECTORY"'
    printed = in_a_namespace(f"{started}; network up; ip -4 -br address show mp-net; nft list tables; network down")
    assert printed[0].split()[-1] == "10.99.9.1/24"
    assert printed[1:] == ["table ip market_pulse_mp_net", "removed the network 10.99.9.0/24"]
    printed = in_a_namespace(f"network up; nft delete table ip market_pulse_mp_net; network down; {TRACES}")
    assert printed[1:] == ["removed the network 10.99.9.0/24", "0"]


def test_another_labs_interface_is_left_alone() -> None:
    other = "ip link add name mp-net type bridge; ip link set mp-net alias /labs/other"
    said = in_a_namespace(f"{other}; ! network up 2>&1; network down; ip -br link show type bridge")
    assert "belongs to the lab in '/labs/other'" in said[0]
    assert said[1].startswith("mp-net")


def test_a_firewall_that_lets_nothing_through_is_named() -> None:
    said = in_a_namespace(f"{DROP}; ! network up 2>&1; network down")
    assert "firewall" in said[1]
    assert "ip site forward" in said[1]
    accept = "nft add rule ip site forward iifname mp-net accept"
    assert in_a_namespace(f"{DROP}; {accept}; network up")[0].startswith("made")
