"""Whether a secret shows on a host, where another user, or whoever is handed the logs, would come upon it."""

import json
from collections.abc import Mapping

from system.host import Host

# Runs on the host and gets the secrets by its standard input, where nobody else sees them.
_SEEK = """
import os, pathlib, subprocess

def printed(*command):
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        yield from running.stdout

def files(*roots):
    for root in roots:
        for folder, _, names in os.walk(root):
            yield from (pathlib.Path(folder, name) for name in names)

def read(path):
    try:
        yield path.read_bytes()
    except OSError:  # a process that has ended, and what is no file
        return

def is_for_all(path):
    return path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o004

def places():
    yield "the journal", printed("journalctl", "--no-pager", "--all", "--output=export")
    yield "systemctl show", printed("systemctl", "show", "--all", "*")
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            yield f"{path}/{name}", read(path / name)
    for path in files("/etc/systemd", "/run/systemd", "/etc/market-pulse"):
        if path.is_file() and path.parent != pathlib.Path("/etc/market-pulse/credentials"):
            yield str(path), read(path)
    for path in files("/etc", "/run", "/var/log", "/var/lib/market-pulse"):
        if is_for_all(path):
            yield f"{path}, which all may read", read(path)

for place, texts in places():
    for text in texts:
        for name, secret in SECRETS.items():
            if secret.encode() in text:
                print(f"{name} is in {place}")
"""


def shown(host: Host, secrets: Mapping[str, str]) -> set[str]:
    """Return a sentence for each secret and place on the host where it shows; empty is well.

    The places: the journal, every process's arguments and environment, the properties and files of all units, what is
    below /etc/market-pulse but the credentials themselves, and what every user may read in /etc, /run, /var/log and the
    state.
    """
    script = f"SECRETS = {json.dumps(lines(secrets))}\n{_SEEK}"
    return set(host.run("/opt/market-pulse/venv/bin/python -", stdin=script, timeout=600).splitlines())


def lines(secrets: Mapping[str, str]) -> dict[str, str]:
    """Return what to look for: of a secret of several lines each one, and nothing that is empty."""
    parts = {f"{name}:{number}": line for name, text in secrets.items() for number, line in enumerate(text.split("\n"))}
    return {name.removesuffix(":0"): line.strip() for name, line in parts.items() if line.strip()}
