"""``python -m market_pulse.supervise PROBE -- COMMAND…``: speak to systemd for a program that cannot, such as a JVM.

The supervisor is the unit's main process. It says READY after the first probe that finds the program healthy, WATCHDOG
only after a probe that sees progress, and leaves with the program's exit code. It does not kill: a supervisor that
dies, for whatever reason, takes the rest of its unit with it by systemd's own kill of the control group, and a program
without progress is ended by the unit's WatchdogSec.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from market_pulse import log, notify
from market_pulse.health import Verdict
from market_pulse.notify import Notifier
from market_pulse.probes import PROBES, Probe

# systemd sends TERM; the others are what an operator may send.
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# Each probe that finds the program still coming up buys this much time, and together no more than the limit:
# a broker that reads its logs after a power cut needs minutes, a hung one must not start for ever.
_START_EXTENSION_SECONDS = 60.0
_START_LIMIT_SECONDS = 600.0
_RETRY_SECONDS = 1.0
# A unit without WatchdogSec gets a fresh sentence this often.
_UNWATCHED_SECONDS = 60.0
_PROBES_PER_WATCHDOG = 3
_EXIT_BY_SIGNAL = 128

_log = logging.getLogger(__name__)


async def supervise(command: Sequence[str], probe: Probe, notifier: Notifier) -> int:
    """Run a command under a probe until it ends; return its exit code, or 128 and the signal that ended it.

    Raises:
        OSError: the command cannot be started.
    """
    child = await asyncio.create_subprocess_exec(*command)
    log.event(_log, logging.INFO, "started", program=command[0], pid=child.pid)
    watch = asyncio.create_task(_watch(probe, notifier))
    for number in _FORWARDED:
        asyncio.get_running_loop().add_signal_handler(number, _forward, number, child, watch, notifier)
    ended = asyncio.create_task(child.wait())
    await asyncio.wait({ended, watch}, return_when=asyncio.FIRST_COMPLETED)
    if not ended.done() and not watch.cancelled():
        await watch
    code = await ended
    watch.cancel()
    log.event(_log, logging.INFO if code == 0 else logging.WARNING, "ended", program=command[0], code=code)
    return code if code >= 0 else _EXIT_BY_SIGNAL - code


def _forward(
    number: signal.Signals, child: asyncio.subprocess.Process, watch: "asyncio.Task[NoReturn]", notifier: Notifier
) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(number)
    if number in (signal.SIGTERM, signal.SIGINT):
        watch.cancel()
        notifier.stopping()
        notifier.status("stopping")


async def _watch(probe: Probe, notifier: Notifier) -> NoReturn:
    clock = asyncio.get_running_loop().time
    interval = (notifier.watchdog_seconds or _UNWATCHED_SECONDS) / _PROBES_PER_WATCHDOG
    give_up = clock() + _START_LIMIT_SECONDS
    notifier.status("starting")
    while not (verdict := await _look(probe)).healthy:
        if clock() < give_up:
            notifier.extend_start(_START_EXTENSION_SECONDS)
        notifier.status(f"starting: {verdict.sentence}")
        await asyncio.sleep(min(_RETRY_SECONDS, interval))
    notifier.ready(verdict.sentence)
    log.event(_log, logging.INFO, "ready", status=verdict.sentence)
    while True:
        await asyncio.sleep(interval if verdict.healthy else min(_RETRY_SECONDS, interval))
        before, verdict = verdict, await _look(probe)
        notifier.status(verdict.sentence)
        if verdict.healthy:
            notifier.watchdog()
        if before.healthy and not verdict.healthy:
            log.event(_log, logging.WARNING, "no progress", status=verdict.sentence)
        elif verdict.healthy and not before.healthy:
            log.event(_log, logging.INFO, "progress again", status=verdict.sentence)


async def _look(probe: Probe) -> Verdict:
    """Run a probe beside the loop, so that one that hangs delays neither signals nor the exit: it only stays away."""
    loop = asyncio.get_running_loop()
    verdict: asyncio.Future[Verdict] = loop.create_future()

    def settle(seen: Verdict) -> None:
        if not verdict.cancelled():
            verdict.set_result(seen)

    def run() -> None:
        try:
            seen = probe()
        except Exception as error:  # noqa: BLE001 - a fault of the probe must not end a program that may be healthy
            sentence = f"the probe failed: {type(error).__name__}: {' '.join(str(error).split())}"
            seen = Verdict(healthy=False, sentence=sentence)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(settle, seen)

    threading.Thread(target=run, name="probe", daemon=True).start()
    return await verdict


def main(arguments: Sequence[str]) -> int:
    """Read the command line, run, and return the exit code."""
    match arguments:
        case [name, "--", *command] if name in PROBES and command:
            notifier = notify.from_environment()
            log.setup()
            return asyncio.run(supervise(command, PROBES[name](), notifier))
        case _:
            sys.stderr.write(f"usage: python -m market_pulse.supervise {{{','.join(PROBES)}}} -- COMMAND...\n")
            return os.EX_USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
