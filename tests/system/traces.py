"""Everything on this machine by which a lab could be noticed."""

import json
import os
import subprocess
from pathlib import Path

_AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"]


def traces(bridge: str, host: str, folder: str) -> dict[str, object]:
    """Return what a lab leaves while it runs, and whether the kernel forwards packets.

    `bridge` is its interface, `host` the beginning of its hosts' names, `folder` what its files are in.
    """
    links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True).stdout)
    tables = subprocess.run([*_AS_ROOT, "nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    return {
        "interfaces": sorted(link["ifname"] for link in links if bridge[:7] in link["ifname"]),
        "nft": [table for table in tables.splitlines() if bridge.replace("-", "_") in table],
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
        "notes": sorted(str(path) for path in Path("/run").glob("market-pulse-lab.*")),
        "mounts": [line for line in Path("/proc/self/mounts").read_text().splitlines() if folder in line],
        "processes": sorted(line for line in _command_lines() if _is_of_lab(line, host, folder)),
        "cgroups": sorted(str(path) for path in Path("/sys/fs/cgroup").glob(f"**/market-pulse-lab-{host}*")),
    }


def _command_lines() -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return lines


def _is_of_lab(line: str, host: str, folder: str) -> bool:
    """Tell a host's system, the loop that boots it, and Ansible's connection to it, which names its socket."""
    boot_loop = line.startswith("sh ") and folder in line and "/boot.sh " in line
    connection = line.startswith("ssh: ") and f"/{host}" in line and "[mux]" in line
    return f"--machine={host}" in line or boot_loop or connection
