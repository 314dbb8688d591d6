"""The pages' files: what others wrote is as they say, nothing is loaded from elsewhere, and all of it reaches hosts."""

import re
from types import ModuleType

import pytest

from support.repository import ANSIBLE, ROOT

STATIC = ROOT / "daemons" / "market_pulse" / "web" / "static"
VENDORED = "lightweight-charts.standalone.production.js"


@pytest.fixture
def pythons(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ANSIBLE / "artifacts")
    import pythons as module  # noqa: PLC0415 - found by the line above

    return module


def test_the_chart_library_is_the_one_of_the_notice_and_keeps_its_header() -> None:
    head = (STATIC / VENDORED).read_text(encoding="utf-8")[:400]
    notice = (STATIC / "THIRD_PARTY.txt").read_text()
    version = re.search(r"v(\d+\.\d+\.\d+)", head)
    owner = re.search(r"Copyright \(c\) \d{4} TradingView, Inc\.", head)
    assert version is not None
    assert owner is not None
    assert f"{VENDORED}, {version[1]}," in notice
    assert owner[0] in notice
    # Its licence wants its creator named on the page, with a link.
    page = (STATIC / "index.html").read_text()
    assert '<a href="https://www.tradingview.com/"' in page
    assert "/static/THIRD_PARTY.txt" in page


def test_nothing_is_loaded_from_elsewhere() -> None:
    loading = re.compile(r"""(?:src|import|url\()\s*[=(]?\s*["']?(?:https?:)?//""")
    files = [path for path in STATIC.iterdir() if path.suffix in (".html", ".js", ".css") and path.name != VENDORED]
    assert len(files) > 5
    assert [path.name for path in files if loading.search(path.read_text())] == []
    links = re.findall(r'<link[^>]+href="([^"]+)"', "".join(path.read_text() for path in STATIC.glob("*.html")))
    assert links
    assert [link for link in links if not link.startswith("/static/")] == []


def test_every_file_of_the_pages_reaches_the_hosts(pythons: ModuleType) -> None:
    assert set(STATIC.iterdir()) <= set(pythons.app_sources())
