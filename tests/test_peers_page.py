"""The pages on other libraries say what was measured last: their tables are made of its results."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
sys.path.append(str(DOCS))
peer_tables = import_module("peer_tables")

RESULTS = json.loads((DOCS / "results" / "peers.json").read_text("utf-8"))
TABLES = peer_tables.all_of(RESULTS["libraries"], RESULTS["reductions"])
PAGES = {page: (DOCS / page).read_text("utf-8") for page in TABLES}


@pytest.mark.parametrize("page", TABLES)
def test_a_page_has_the_tables_of_the_results(page):
    for table in TABLES[page]:
        assert f"\n\n{table}\n\n" in PAGES[page]


@pytest.mark.parametrize("page", TABLES)
def test_a_page_has_the_versions_of_the_results(page):
    assert f"\n\n{peer_tables.measured(RESULTS)}" in PAGES[page]


def test_no_library_was_left_out():
    found = RESULTS["libraries"] | RESULTS["reductions"]
    assert [name for name, result in found.items() if "skipped" in result] == []


def test_a_table_is_put_where_the_one_with_its_head_is(tmp_path, monkeypatch):
    monkeypatch.setattr(peer_tables, "PAGES", tmp_path)
    (tmp_path / "page.md").write_text("A\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\nB\n")
    table = peer_tables.markdown(["a", "b"], ["---", "---"], [["3", "4"], ["5", "6"]])
    peer_tables.put("page.md", table)
    assert (tmp_path / "page.md").read_text() == f"A\n\n{table}\n\nB\n"
    with pytest.raises(ValueError, match="has 0 tables that begin with"):
        peer_tables.put("page.md", "| c | d |\n")


@pytest.mark.parametrize(
    ("how", "words"), [("got 1.5, should be 1.0", "5e-1"), ("got nan, should be 0.", "")]
)
def test_how_far_a_long_sum_is_off(how, words):
    assert peer_tables.off_by(how) == (words or how)
