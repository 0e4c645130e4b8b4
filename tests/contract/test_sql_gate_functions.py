"""The allow-list of functions against the engine that is installed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.tree import ALLOWED_FUNCTIONS, COMBINATORS, allowed_functions

SYNTAX = {"lambda", "exists", "grouping"}

REACHES_OUT = re.compile(
    r"^file|url$|s3|hdfs|remote|cluster$|dict|sleep|setting|macro|user|server(?!timezone)|query|host|"
    r"fqdn|address|symbol|demangle|joinget|model|^ai|certificate|zookeeper|schema$|getscalar|serial|"
    r"transactionid|^format(row|query)|port$|path$|eval|^fuzz",
    re.I,
)
LOOK_ALIKES = {
    # cut addresses apart, flip bits, or name the database
    "port", "path", "querystring", "querystringandfragment", "fuzzbits", "schema",
    "cutquerystring", "cutquerystringandfragment", "json_query",
    "isipaddressinrange", "tupletonamevaluepairs", "singlevalueornull",
}  # fmt: skip


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with open_store("chdb://memory") as opened:
        yield opened


def test_every_allowed_function_exists(store: Store) -> None:
    names = {name.lower() for (name,) in store.query("SELECT name FROM system.functions")}
    names |= {name.lower() for (name,) in store.query("SELECT name FROM system.table_functions")}
    assert allowed_functions() - names - SYNTAX == set()


def test_allowed_names_that_are_also_table_functions_read_nothing(store: Store) -> None:
    tables = {name.lower() for (name,) in store.query("SELECT name FROM system.table_functions")}
    assert allowed_functions() & tables == {
        "format",  # parses the literal it is given
        "generate_series",
        "generateseries",
        "numbers",
        "numbers_mt",
        "values",
    }


def test_nothing_that_reaches_out_is_allowed() -> None:
    suspicious = {name for name in allowed_functions() if REACHES_OUT.search(name)}
    assert suspicious - LOOK_ALIKES == set()


def test_combinators_are_the_engines(store: Store) -> None:
    names = store.query("SELECT lower(name) FROM system.aggregate_function_combinators")
    assert {name for (name,) in names} == set(COMBINATORS)


def test_every_group_says_why() -> None:
    for line in ALLOWED_FUNCTIONS.read_text().splitlines():
        if line.startswith("## "):
            assert re.fullmatch(r"## [^:]+: .+\.", line), line
