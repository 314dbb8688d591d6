"""Everything on this machine by which a lab could be noticed."""

import json
import subprocess
from pathlib import Path


def traces(bridge: str, host: str, folder: str) -> dict[str, object]:
    """Return interfaces, nft tables, mounts, processes, cgroups of a lab, and whether the kernel forwards packets."""
    links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True).stdout)
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    processes = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return {
        "interfaces": sorted(link["ifname"] for link in links if bridge[:7] in link["ifname"]),
        "nft": [table for table in tables.splitlines() if bridge.replace("-", "_") in table],
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
        "mounts": [line for line in Path("/proc/self/mounts").read_text().splitlines() if folder in line],
        "processes": sorted(line.decode() for line in processes if f"--machine={host}".encode() in line),
        "cgroups": sorted(str(path) for path in Path("/sys/fs/cgroup").glob(f"**/market-pulse-lab-{host}*")),
    }
