"""The alerts' job as its unit runs it: a process, a real database, and real servers that take what it sends."""

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from integration.services.broker import Broker, password_of
from integration.services.database import PASSWORD, Database
from market_pulse.alerts.channels import channels
from market_pulse.errors import AlertError
from market_pulse.kafka_login import Principal
from support.repository import ROOT
from support.sinks import Sink, mail_sink, web_sink

TOKEN = "do-not-tell-4711"
# The second one is of another host, and known here because the first would start after it.
UNIT = """Id=market-pulse-consumer.service
LoadState=loaded
ActiveState={}
SubState={}
Result=success
NRestarts=0
StatusText=
Type=notify

Id=market-pulse-kafka.service
LoadState=not-found
ActiveState=inactive
SubState=dead
Result=success
NRestarts=0
StatusText=
Type=
"""
NO_PRODUCER = "ExecMainStartTimestamp=\nExecMainStartTimestampMonotonic=0"
# What a database that nobody has written to yet lets the status say.
AT_REST = 5


@dataclass
class Job:
    """The job of a host with one unit, which is up or not."""

    directory: Path
    environment: dict[str, str]

    def urls(self, *urls: str) -> None:
        (self.directory / "mp_alert_urls").write_text("\n".join(urls))

    def unit(self, state: str, sub: str) -> None:
        """Let systemd, which does not run here, say this of the one unit."""
        (self.directory / "units").write_text(UNIT.format(state, sub))

    def run(self, **changed: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", "from market_pulse.alerts.job import main; main()"],
            env=self.environment | changed,
            capture_output=True,
            text=True,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert TOKEN not in printed + (self.directory / "alerts.json").read_text(), printed
        assert "Traceback" not in printed, printed
        return done


@pytest.fixture
def job(database: Database, broker: Broker, topic: str, tmp_path: Path) -> Job:
    (tmp_path / "mp_kafka_password").write_text(password_of(Principal.MONITOR))
    (tmp_path / "mp_postgresql_monitor_password").write_text(PASSWORD)
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f'#!/bin/sh\ncase "$*" in *ExecMain*) echo "{NO_PRODUCER}";; *) cat {tmp_path}/units;; esac\n')
    systemctl.chmod(0o755)
    # As on a lab host, whose clock is not its own.
    (systemctl.parent / "systemd-detect-virt").symlink_to("/bin/true")
    made = Job(
        tmp_path,
        {
            "PATH": f"{systemctl.parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT / 'daemons'}:{ROOT / 'spark_app'}",
            "CREDENTIALS_DIRECTORY": str(tmp_path),
            "RUNTIME_DIRECTORY": str(tmp_path),
            "STATE_DIRECTORY": str(tmp_path),
            **database.environment("monitor"),
            "MP_ALERT_AFTER_SECONDS": "0",
            "MP_ALERT_HOST": "bars.example.net",
            "MP_ALERT_ADDRESS": "127.0.0.1",
            "MP_ALERT_OF_PIPELINE": "false",
            "MP_ALERT_QUIET_HOURS": "",
            "MP_EXCHANGE": "XNYS",
            "MP_INTERVAL": "1min",
            **broker.environment(),
            "MP_SOURCE": "simulator",
            "MP_TOPIC": topic,
        },
    )
    made.unit("active", "running")
    return made


@pytest.fixture
def web() -> Iterator[Sink]:
    with web_sink() as sink:
        yield sink


@pytest.fixture
def mail() -> Iterator[Sink]:
    with mail_sink() as sink:
        yield sink


def web_url(sink: Sink) -> str:
    return f"json://127.0.0.1:{sink.port}/{TOKEN}"


def mail_url(sink: Sink) -> str:
    return f"mailto://127.0.0.1:{sink.port}?from={TOKEN}@example.net&to=operator@example.net"


def test_an_alert_arrives_once_and_once_that_it_is_over(job: Job, web: Sink, mail: Sink) -> None:
    job.urls(web_url(web), mail_url(mail))
    assert job.run().returncode == 0
    assert web.arrived == mail.arrived == []
    job.unit("failed", "failed")
    done = job.run()
    assert done.returncode == 0
    assert job.run().stderr == ""
    job.unit("active", "running")
    assert job.run().returncode == 0
    assert job.run().stderr == ""
    expected = [
        "market-pulse on bars.example.net: 1 thing is wrong",
        "market-pulse on bars.example.net: resolved, all is well",
    ]
    assert web.titles == mail.titles == expected
    for sink in (web, mail):
        assert "down: market-pulse-consumer is failed (success) (since 20" in sink.arrived[0][1]
    assert "1 thing is wrong: what='down: market-pulse-consumer is failed (success) (since" in done.stderr


def test_a_channel_that_is_down_is_told_later_and_the_other_once(job: Job, web: Sink, mail: Sink) -> None:
    job.urls(web_url(web), mail_url(mail))
    job.unit("failed", "failed")
    web.refuses = True
    done = job.run()
    assert done.returncode == 1
    assert "channel 1 (json) refused with HTTP 500" in done.stderr
    assert (len(web.arrived), len(mail.arrived)) == (0, 1)
    mail.refuses, web.refuses = True, False
    assert job.run().returncode == 0
    assert (len(web.arrived), len(mail.arrived)) == (1, 1)
    job.unit("active", "running")
    done = job.run()
    assert done.returncode == 1
    assert "channel 2 (mailto) cannot be reached" in done.stderr
    mail.refuses = False
    assert job.run().returncode == 0
    assert web.titles == mail.titles
    assert len(web.titles) == 2


def test_one_host_tells_of_the_pipeline(job: Job, web: Sink) -> None:
    job.urls(web_url(web))
    assert job.run(MP_ALERT_OF_PIPELINE="true").returncode == 0
    assert web.titles == [f"market-pulse on bars.example.net: {AT_REST} things are wrong"]
    assert "no bar is stored yet" in web.arrived[0][1]


def test_what_another_host_tells_of_from_now_on_is_not_said_to_be_over(job: Job, web: Sink) -> None:
    job.urls(web_url(web))
    job.unit("failed", "failed")
    assert job.run(MP_ALERT_OF_PIPELINE="true").returncode == 0
    assert job.run(MP_ALERT_OF_PIPELINE="false").returncode == 0
    assert len(web.titles) == 1
    job.unit("active", "running")
    assert job.run(MP_ALERT_OF_PIPELINE="false").returncode == 0
    assert web.titles[1:] == ["market-pulse on bars.example.net: resolved, all is well"]
    assert "no bar is stored yet" not in web.arrived[1][1]


def test_a_disk_that_takes_no_writes_silences_nothing_and_repeats_nothing(job: Job, web: Sink) -> None:
    job.urls(web_url(web))
    assert job.run().returncode == 0
    job.unit("failed", "failed")
    broken = {"STATE_DIRECTORY": str(job.directory / "none")}
    for _ in range(2):
        done = job.run(**broken)
        assert done.returncode == 1
        assert "remembered until the next boot alone" in done.stderr
    job.unit("active", "running")
    for _ in range(2):
        job.run(**broken)
    assert [title.rpartition(": ")[2] for title in web.titles] == ["1 thing is wrong", "resolved, all is well"]
    assert (job.directory / "market_pulse.prom").exists()


def test_a_database_that_is_away_is_told(job: Job, web: Sink) -> None:
    job.urls(web_url(web))
    assert job.run(MP_DATABASE_PORT="9").returncode == 0
    assert "down: PostgreSQL cannot be asked: " in web.arrived[0][1]


@pytest.mark.parametrize("urls", [[], ["", " "]])
def test_without_a_channel_the_journal_is_told_and_says_so(job: Job, urls: list[str]) -> None:
    job.urls(*urls)
    job.unit("failed", "failed")
    done = job.run(JOURNAL_STREAM="8:1")
    assert done.returncode == 0
    assert [line[:30] for line in done.stderr.splitlines()] == [
        "<4>market-pulse on bars.exampl",
        "<4>nobody is told: the credent",
    ]


def test_a_line_that_is_no_channel_fails_the_job_and_not_the_others(job: Job, web: Sink) -> None:
    job.urls(f"nonsense://{TOKEN}", web_url(web))
    job.unit("failed", "failed")
    done = job.run()
    assert done.returncode == 1
    assert "channel 1 is no URL of a service that apprise knows" in done.stderr
    assert len(web.arrived) == 1
    assert job.run().returncode == 1


def test_a_server_that_nobody_vouches_for_is_told_nothing(tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    with web_sink(tls=tls) as sink:
        for query, problem in (("", "cannot be reached"), ("?verify=no", "verify=no")):
            (channel,) = channels(f"jsons://127.0.0.1:{sink.port}/{TOKEN}{query}")
            with pytest.raises(AlertError, match=problem) as refused:
                channel.send("title", "body")
            assert TOKEN not in f"{refused.value!r}{channel!r}"
        assert sink.arrived == []
        trusting = {"REQUESTS_CA_BUNDLE": str(tmp_path / "ca.crt")}
        script = "import sys; from market_pulse.alerts import channels as c; c.channels(sys.argv[1])[0].send('t', 'b')"
        subprocess.run(
            [sys.executable, "-c", script, f"jsons://127.0.0.1:{sink.port}"],
            env=os.environ | trusting | {"PYTHONPATH": f"{ROOT / 'daemons'}:{ROOT / 'spark_app'}"},
            check=True,
        )
        assert sink.titles == ["t"]


def test_each_run_leaves_the_figures_for_prometheus(job: Job) -> None:
    job.urls("nonsense://")
    assert job.run().returncode == 1
    figures = (job.directory / "market_pulse.prom").read_text()
    assert 'market_pulse_unit_up{unit="market-pulse-consumer"} 1.0\n' in figures
    assert "market_pulse_bars 0.0\n" in figures
