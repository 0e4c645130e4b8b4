"""What a user's query may consist of, checked on the engine's own syntax tree.

Allow-lists throughout: a kind of node, function or table that is not known here is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from analyzer_service.errors import QueryRefusedError

ALLOWED_FUNCTIONS = Path(__file__).with_name("allowed_functions.txt")

COMBINATORS = (
    "simplestate",
    "ordefault",
    "distinct",
    "resample",
    "foreach",
    "argmax",
    "argmin",
    "ornull",
    "merge",
    "state",
    "array",
    "tuple",
    "null",
    "map",
    "if",
)
"""Endings of aggregate functions, the engine's own list."""

KINDS = frozenset(
    {
        "ArrayJoin",
        "Asterisk",
        "ColumnsExceptTransformer",
        "ColumnsListMatcher",
        "ColumnsRegexpMatcher",
        "ColumnsReplaceTransformer",
        "ColumnsReplaceTransformer::Replacement",
        "ColumnsTransformerList",
        "ExpressionList",
        "Function",
        "Identifier",
        "InterpolateElement",
        "Literal",
        "OrderByElement",
        "QualifiedAsterisk",
        "QualifiedColumnsListMatcher",
        "QualifiedColumnsRegexpMatcher",
        "SampleRatio",
        "SelectIntersectExceptQuery",
        "SelectQuery",
        "SelectWithUnionQuery",
        "Subquery",
        "TableExpression",
        "TableIdentifier",
        "TableJoin",
        "TablesInSelectQuery",
        "TablesInSelectQueryElement",
        "WindowDefinition",
        "WindowListElement",
        "WithElement",
    }
)
"""Kinds of nodes whose every part the tree shows. Not among them: ``ColumnsApplyTransformer`` (it
hides its function), ``Set`` (a SETTINGS clause), ``Explain``, ``QueryParameter``."""

REFUSALS = {
    "ColumnsApplyTransformer": "APPLY is not available; call the function on each column",
    "Set": "a SETTINGS clause is not available; the limits are fixed",
    "QueryParameter": "parameters are not available; write the values",
    "Explain": "EXPLAIN is not available",
}

SYSTEM_TABLES = frozenset(
    {
        "asynchronous_metrics",
        "columns",
        "data_type_families",
        "databases",
        "events",
        "functions",
        "metrics",
        "numbers",
        "numbers_mt",
        "one",
        "parts",
        "tables",
    }
)
"""What SREs look at to see how a store does; none shows queries, users, settings or files."""

SYSTEM_DATABASES = frozenset({"system", "information_schema"})

NO_ARGUMENTS = frozenset(
    {"connection_id", "current_user", "hostname", "query_id", "session_user", "user"}
)
"""Functions people name their columns after. They take no arguments, so no other function can call
them by their bare name."""

RESOLVER_FUNCTIONS = frozenset({"_cast", "nothing", "nothingnull", "nothinguint64"})
"""What the engine itself puts into a resolved query."""

RECURSION_TABLES = "_temporary_and_external_tables."
"""Where WITH RECURSIVE keeps its rows; nobody can name this database in a query."""

_RESOLVED = re.compile(
    r"\s*(?:FUNCTION|TABLE_FUNCTION|TABLE) id: .*?\b(function_name|table_name): ([^,]+)"
)
_NODE = re.compile(r"\s*([A-Za-z:]+)(?:_\d+)?(?: (.*))?$")


@lru_cache(maxsize=1)
def allowed_functions() -> frozenset[str]:
    """Return the allow-list, in lower case."""
    lines = ALLOWED_FUNCTIONS.read_text(encoding="utf-8").splitlines()
    return frozenset(
        name.lower() for line in lines if not line.startswith("#") for name in line.split()
    )


def is_allowed(function: str) -> bool:
    """Say whether a user may call a function, with or without combinators."""
    name = function.lower()
    if name in allowed_functions():
        return True
    return any(
        name.endswith(ending) and is_allowed(name[: -len(ending)])
        for ending in COMBINATORS
        if len(name) > len(ending)
    )


def check_tree(lines: Iterable[str], *, database: str, functions: frozenset[str]) -> None:
    """Check the lines of an ``EXPLAIN AST``, before the engine has evaluated anything.

    Args:
        lines: one node each, children indented below.
        database: whose tables may be named with their database.
        functions: all the engine has, in lower case: ``arrayMap(file, …)`` calls one by a name
            that is no function's node but a plain identifier.

    Raises:
        QueryRefusedError: a node, function or table is not on its list; the message names it.
    """
    for line in lines:
        match = _NODE.match(line)
        kind = match.group(1) if match else ""
        if match is None or kind not in KINDS:
            why = REFUSALS.get(kind, f"{kind or 'it'} is not part of a plain SELECT")
            raise QueryRefusedError(f"The query is not run: {why}.")
        rest = match.group(2) or ""
        if kind == "Function":
            _check_function(rest)
        elif kind in ("TableIdentifier", "Identifier"):
            _check_name(rest, database, is_table=kind == "TableIdentifier")
            _check_reference(rest, functions)


def check_resolved(lines: Iterable[str], *, database: str) -> None:
    """Check the lines of an ``EXPLAIN QUERY TREE``: what the names turned out to mean.

    This is the second net: whatever way of naming a function or table the syntax tree does not
    show as one, it shows here.

    Raises:
        QueryRefusedError: a function or table is not on its list; the message names it.
    """
    for line in lines:
        match = _RESOLVED.match(line)
        if match is None:
            continue
        if match.group(1) == "table_name":
            if match.group(2).startswith(RECURSION_TABLES):
                continue
            _check_name(match.group(2), database, is_table=True)
        elif match.group(2).lower() not in RESOLVER_FUNCTIONS:
            _check_function(match.group(2))


def _check_function(rest: str) -> None:
    name = rest.split(" ", 1)[0]
    if not is_allowed(name):
        raise QueryRefusedError(
            f"The query is not run: the function {name} is not among those a query may call.",
            hint="Functions that read files, networks, settings or the engine itself are not.",
        )


def _check_reference(rest: str, functions: frozenset[str]) -> None:
    name = rest.split(" ", 1)[0].lower()
    if name in functions and name not in NO_ARGUMENTS:
        _check_function(name)


def _check_name(rest: str, database: str, *, is_table: bool) -> None:
    first, dot, after = rest.partition(".")
    if not dot:
        return
    second = re.split(r"[. (]", after, maxsplit=1)[0]
    if first.lower() in SYSTEM_DATABASES:
        # Also for plain identifiers: `x IN system.users` names a table that way.
        if first != "system" or second not in SYSTEM_TABLES:
            raise QueryRefusedError(
                f"The query is not run: {first}.{second} is not a table a query may read.",
                hint=f"Of the system's tables these are: {', '.join(sorted(SYSTEM_TABLES))}.",
            )
    elif is_table and first != database:
        raise QueryRefusedError(f"The query is not run: {first}.{second} lies in another database.")
