"""A vendor that is away is waited for; its other faults are tried in tests/unit and tests/simulation."""

from system.faults.injections import PRODUCER, VENDOR, last, stopped
from system.faults.trial import Trial
from system.host import Host


def test_a_vendor_that_is_away_is_said_and_what_it_did_not_tell_is_fetched(host: Host, trial: Trial) -> None:
    with trial("A1", "vendor away for 30 s", within=30), stopped(host, VENDOR):
        host.await_sentence(PRODUCER, "degraded: ", within=30)
        host.await_finding(f"{VENDOR} is inactive", within=30)
        last(20)
