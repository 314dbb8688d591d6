"""Faults of the network on a lab host; each is undone when its block ends, whatever happens in it."""

import contextlib
import shlex
from collections.abc import Iterator

from support.repository import group_vars
from support.waiting import eventually
from system.host import Host

_PORTS = group_vars("pipeline")["market_pulse_ports"]
BROKER_PORT, DATABASE_PORT = _PORTS["kafka"], _PORTS["postgresql"]
# Who runs the sink: the executors are the worker's children.
SINK_USER = "market-pulse-spark"
DRIVER_USER = "market-pulse-consumer"
PRODUCER_USER = "market-pulse-producer"

_NFT_TABLE = "inet market_pulse_fault"
# Carries bytes between two ports of loopback, and lets each wait; a connection that ends, ends on both sides.
_LONG_WAY = """
import asyncio, sys
port, to, late = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
async def carry(reader, writer):
    due = asyncio.Queue()
    async def deliver():
        while True:
            at, data = await due.get()
            await asyncio.sleep(at - asyncio.get_running_loop().time())
            if not data:
                return writer.close()
            writer.write(data)
    delivery = asyncio.create_task(deliver())
    data = b"."
    while data:
        try:
            data = await reader.read(65536)
        except OSError:
            data = b""
        due.put_nowait((asyncio.get_running_loop().time() + late, data))
    await delivery
async def accept(reader, writer):
    there = await asyncio.open_connection("127.0.0.1", to)
    await asyncio.gather(carry(reader, there[1]), carry(there[0], writer))
async def main():
    await (await asyncio.start_server(accept, "127.0.0.1", port)).serve_forever()
asyncio.run(main())
"""


@contextlib.contextmanager
def filtered(host: Host, *rules: str) -> Iterator[None]:
    """Have rules of nftables decide about every packet that a process of the host sends."""
    chain = "type filter hook output priority 0;\n " + "\n ".join(rules)
    host.run("nft -f -", stdin=f"table {_NFT_TABLE} {{\n chain out {{\n {chain}\n }}\n}}\n")
    try:
        yield
    finally:
        host.run(f"nft delete table {_NFT_TABLE}")


def cut(host: Host, user: str, port: int, *, refused: bool = False) -> contextlib.AbstractContextManager[None]:
    """Keep a user's packets from a port of the host: they vanish, or are refused by a reset."""
    return filtered(host, f"meta skuid {user} tcp dport {port} {'reject with tcp reset' if refused else 'drop'}")


def unanswered(host: Host, port: int) -> contextlib.AbstractContextManager[None]:
    """Lose what a port of the host sends, and none of what it is sent."""
    return filtered(host, f"tcp sport {port} drop")


def lossy(host: Host, *ports: int, percent: int) -> contextlib.AbstractContextManager[None]:
    """Lose a share of the packets to and from ports of the host."""
    share = f"numgen random mod 100 < {percent} drop"
    return filtered(host, *(f"tcp {side} {port} {share}" for port in ports for side in ("sport", "dport")))


def narrow(host: Host, user: str, port: int, kilobytes: int) -> contextlib.AbstractContextManager[None]:
    """Drop what a user sends to a port above so many kilobytes a second."""
    return filtered(host, f"meta skuid {user} tcp dport {port} limit rate over {kilobytes} kbytes/second drop")


@contextlib.contextmanager
def delayed(host: Host, user: str, port: int, milliseconds: int) -> Iterator[None]:
    """Have everything between a user and a port of the host take so long each way; what is connected connects anew."""
    by_way_of, name = 10_000 + port, "fault-delay"
    host.run(
        f"systemd-run --quiet --collect --unit={name} /usr/bin/python3 -c {shlex.quote(_LONG_WAY)} "
        f"{by_way_of} {port} {milliseconds / 1000}"
    )
    listens = f"ss --listening --numeric --no-header --tcp 'sport = :{by_way_of}'"
    eventually(lambda: host.run(listens), within=30, what="the long way is open")
    redirect = f"meta skuid {user} tcp dport {port} redirect to :{by_way_of}"
    table = f"{_NFT_TABLE}_delay"
    host.run(
        "nft -f -",
        stdin=f"table {table} {{\n chain to {{\n type nat hook output priority -100;\n {redirect}\n }}\n}}\n",
    )
    try:
        with cut(host, user, port, refused=True):
            yield
    finally:
        host.run(f"nft delete table {table} && systemctl stop {name}")
