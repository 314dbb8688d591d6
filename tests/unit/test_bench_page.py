import pytest

from bench.page import content, replaced

_PAGE = "before\n<!-- a: begin -->\n\nold\n<!-- a: end -->\nbetween\n<!-- b: begin -->\n<!-- b: end -->\nafter\n"


def test_what_stands_between_other_markers_stays() -> None:
    once = replaced(_PAGE, "a", "new\n")
    assert once == _PAGE.replace("old\n", "new\n\n")
    assert replaced(once, "a", "new\n") == once


def test_what_stands_between_the_markers_of_a_name_is_its_own() -> None:
    assert content(_PAGE, "a").strip() == "old"
    assert content(_PAGE, "b").strip() == ""


def test_a_page_without_the_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="c: begin"):
        replaced(_PAGE, "c", "new")
