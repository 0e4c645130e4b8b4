"""Cutting SQL texts into statements."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer_service.errors import StoreError
from analyzer_service.store.statements import (
    parse_queries,
    queries,
    single_statement,
    split_statements,
)

PIECES = [
    "SELECT 1",
    "SELECT 'a;b'",
    "SELECT 'it''s; '",
    r"SELECT 'back\'slash; '",
    'SELECT "a;b"',
    'SELECT "a"";b"',
    "SELECT `a;b`",
    "SELECT `a``;b`",
    "SELECT 1 -- no ; here\n + 1",
    "SELECT 1 # no ; here\n + 1",
    "SELECT 1 #!no ; here\n + 1",
    "SELECT /* ; */ 1",
    "SELECT /* ; /* ; */ ; */ 1",
    "SELECT $$;$$",
    "SELECT $tag$ ; $$ ; $tag$",
    "SELECT a$b$c",
    "SELECT '/* ' || ' */'",
    "SELECT '-- ' || 1",
    'SELECT "--" || `/*`',
    "SELECT 'é–\u2028;'",
    "-- leading ; comment\nSELECT 2",
    "/* leading */ SELECT 3",
]
SEPARATORS = [";", " ; ", ";\n\n", ";;", "; -- nothing; more\n;", ";/* ; */;", "\n;\t"]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6), st.data())
def test_every_statement_comes_out_whole_and_alone(pieces: list[str], data: st.DataObject) -> None:
    text = ""
    for piece in pieces:
        separator = data.draw(st.sampled_from(SEPARATORS))
        text += piece + ("\n" if piece.endswith("1") else "") + separator
    found = split_statements(text)
    # A comment between two statements belongs to the one after it.
    assert len(found) == len(pieces)
    assert all(one.endswith(piece) for one, piece in zip(found, pieces, strict=True))


@given(st.text(alphabet="ab;'\"`\\-/*#$! \n1é", max_size=60))
def test_no_text_of_a_statement_is_lost(text: str) -> None:
    rest = text
    for statement in split_statements(text):
        assert statement == statement.strip()
        assert statement
        before, found, rest = rest.partition(statement)
        assert found
        # What lies between is separators, space and comments that nothing follows.
        assert split_statements(before.rpartition(";")[0]) == []
    assert split_statements(rest.removeprefix(";")) in ([], [rest.removeprefix(";").strip()])


@given(st.text(max_size=200))
def test_cutting_again_changes_nothing(text: str) -> None:
    for statement in split_statements(text):
        assert split_statements(statement) == [statement]
        assert split_statements(statement + "\n;") in ([statement], [statement + "\n;"])


@pytest.mark.parametrize(
    "text", ["", " \n", ";", ";;\n;", "-- only\n", "/* only */", "/* open", "# only"]
)
def test_nothing_is_no_statement(text: str) -> None:
    assert split_statements(text) == []


@pytest.mark.parametrize(
    "text",
    ["SELECT 'open; ", 'SELECT "open; ', "SELECT `open; ", "SELECT $$open; ", "SELECT 1 /* open; "],
)
def test_what_is_left_open_runs_to_the_end(text: str) -> None:
    assert split_statements(text) == [text.strip()]


def test_single_statement() -> None:
    assert single_statement(" SELECT 1 ; -- done\n") == "SELECT 1"
    with pytest.raises(StoreError, match="holds 2"):
        single_statement("SELECT 1; SELECT 2")
    with pytest.raises(StoreError, match="holds 0"):
        single_statement("--")


def test_named_queries() -> None:
    text = "-- a file\n\n-- name: one\n-- What it does; really.\nSELECT ';';\n\n-- name: two\nSELECT 2\n"
    found = parse_queries(text, origin="x.sql")
    assert list(found) == ["one", "two"]
    assert found["one"].endswith("SELECT ';'")
    for wrong in (
        "-- name: a\nSELECT 1; SELECT 2",
        "-- name: a\n",
        "-- name: a\nSELECT 1;\n-- name: a\nSELECT 1",
    ):
        with pytest.raises(StoreError, match=r"query a in x\.sql"):
            parse_queries(wrong, origin="x.sql")


def test_the_shipped_queries_load() -> None:
    assert len(queries) > 10
    assert all(split_statements(text) == [text] for text in queries.values())
    with pytest.raises(KeyError):
        queries["no such query"]
    assert Path(__file__).name not in queries
