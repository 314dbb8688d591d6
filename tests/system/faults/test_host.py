"""The whole host goes and comes: by a reboot, by a power cut."""

import pytest

from system.deployment import UNITS, Deployment
from system.faults.injections import cut_the_power, reboot
from system.faults.trial import ANY, Trial
from system.host import Host


def test_a_reboot_brings_everything_back_and_bars_go_on(host: Host, trial: Trial) -> None:
    with trial("H1", "reboot", within=180, restarts=dict.fromkeys(UNITS, ANY)):
        reboot(host)


@pytest.mark.slow
def test_a_power_cut_is_survived_without_a_hand(deployment: Deployment, trial: Trial) -> None:
    with trial("H2", "power cut", within=180, restarts=dict.fromkeys(UNITS, ANY)):
        cut_the_power(deployment)
