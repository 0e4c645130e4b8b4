"""What every named query must keep to."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from analyzer_service import resources
from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.migrations import migrate
from analyzer_service.store.statements import queries, split_statements

NAMES = sorted(queries)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with open_store("chdb://memory") as opened:
        migrate(opened)
        yield opened


def code(name: str) -> str:
    return re.sub(r"--[^\n]*", "", queries[name])


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_can_parse_it(store: Store, name: str) -> None:
    [(text,)] = store.query("SELECT formatQuerySingleLine({q:String})", {"q": queries[name]})
    assert text


@pytest.mark.parametrize("name", NAMES)
def test_its_answer_depends_on_its_parameters_alone(name: str) -> None:
    text = code(name)
    assert not re.search(r"\b(now|now64|today|yesterday|rand\w*|currentUser)\s*\(", text)


@pytest.mark.parametrize("name", NAMES)
def test_it_names_its_columns(name: str) -> None:
    assert not re.search(r"\bSELECT\s+(DISTINCT\s+)?(\w+\.)?\*", code(name))


AT_MOST_ONE_ROW = re.compile(r"_by_(id|hash)$")
"""Queries that ask for one thing by its key."""


@pytest.mark.parametrize("name", NAMES)
def test_many_rows_come_in_order(store: Store, name: str) -> None:
    [(text,)] = store.query("SELECT formatQuery({q:String})", {"q": queries[name]})
    clauses = [line for line in text.splitlines() if line[:1].isupper()]
    if not text.startswith(("SELECT", "WITH")) or AT_MOST_ONE_ROW.search(name):
        return
    grouped = any(line.startswith("GROUP BY") for line in clauses)
    aggregate = re.search(r"\b(count|sum|max|min|uniq\w*|groupArray\w*)\(", text)
    ordered = any(line.startswith("ORDER BY") for line in clauses)
    assert ordered or (aggregate and not grouped), "several rows without ORDER BY"


@pytest.mark.parametrize("name", NAMES)
def test_parameters_have_types_and_zones(name: str) -> None:
    for kind in re.findall(r"\{\w+:([^{}]+)\}", code(name)):
        assert "DateTime" not in kind or "'UTC'" in kind, kind


@pytest.mark.parametrize(
    "path", sorted((resources.sql_folder() / "queries").glob("*.sql")), ids=lambda path: path.name
)
def test_a_file_holds_named_described_queries(path) -> None:  # type: ignore[no-untyped-def]
    text = path.read_text()
    headers = re.findall(r"^-- name: (\w+)\n(.*)", text, re.M)
    assert headers
    assert len(headers) == len(split_statements(text))
    for name, next_line in headers:
        assert next_line.startswith("-- "), f"{name} has no description"
