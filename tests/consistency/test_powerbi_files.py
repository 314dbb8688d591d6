"""The Power BI project's files are of the form that Microsoft's schemas give, and hold nobody's data."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema.validators import validator_for
from referencing import Registry, Resource

from support.repository import ROOT

_PROJECT = ROOT / "powerbi"
_SCHEMAS = Path(__file__).parent / "powerbi" / "schemas" / "fabric"
_HOME = "https://developer.microsoft.com/json-schemas/fabric/"
_FILES = sorted(
    path
    for path in _PROJECT.rglob("*")
    if path.suffix in (".json", ".pbip", ".pbir", ".pbism") or path.name == ".platform"
)


@cache
def schemas() -> Registry[Any]:
    """Return the schemas by the addresses that the files name."""
    known = ((path, json.loads(path.read_text())) for path in _SCHEMAS.rglob("*.json"))
    return Registry().with_resources(
        (f"{_HOME}{path.relative_to(_SCHEMAS)}", Resource.from_contents(schema)) for path, schema in known
    )


def faults(document: dict[str, Any]) -> list[str]:
    schema = schemas().contents(document["$schema"])
    return [
        f"{fault.json_path}: {fault.message}"
        for fault in validator_for(schema)(schema, registry=schemas()).iter_errors(document)
    ]


@pytest.mark.parametrize("path", _FILES, ids=lambda path: str(path.relative_to(_PROJECT)))
def test_a_file_has_the_form_that_it_says(path: Path) -> None:
    assert faults(json.loads(path.read_text())) == []


def test_a_wrong_file_is_told() -> None:
    page = json.loads((_PROJECT / "MarketPulse.Report/definition/pages/market/page.json").read_text())
    assert "FitPage" in faults(page | {"displayOption": "FitPage"})[0]


def test_every_page_is_in_order_and_every_name_is_its_folders() -> None:
    pages = _PROJECT / "MarketPulse.Report/definition/pages"
    listed = json.loads((pages / "pages.json").read_text())
    assert sorted(listed["pageOrder"]) == sorted(path.parent.name for path in pages.glob("*/page.json"))
    for path in pages.glob("*/page.json"):
        assert json.loads(path.read_text())["name"] == path.parent.name
    for path in pages.glob("*/visuals/*/visual.json"):
        assert json.loads(path.read_text())["name"] == path.parent.name


def test_no_visual_covers_another_or_leaves_its_page() -> None:
    for page in (_PROJECT / "MarketPulse.Report/definition/pages").glob("*/page.json"):
        size = json.loads(page.read_text())
        boxes = {
            path.parent.name: json.loads(path.read_text())["position"]
            for path in page.parent.glob("visuals/*/visual.json")
        }
        for name, box in boxes.items():
            right, bottom = box["x"] + box["width"], box["y"] + box["height"]
            assert right <= size["width"], name
            assert bottom <= size["height"], name
            for other, there in boxes.items():
                apart = (
                    there["x"] >= right
                    or there["y"] >= bottom
                    or there["x"] + there["width"] <= box["x"]
                    or there["y"] + there["height"] <= box["y"]
                )
                assert apart or other == name, f"{name} covers {other}"


def test_no_file_is_what_power_bi_keeps_for_itself() -> None:
    kept = [
        path
        for path in _PROJECT.rglob("*")
        if path.name in ("localSettings.json", "cache.abf") or path.suffix == ".pbix"
    ]
    assert kept == []
    assert ".pbi/" in (_PROJECT / ".gitignore").read_text().splitlines()
