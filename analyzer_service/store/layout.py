"""What the migrations create, read from their statements: which table lies where on a cluster.

Three ways a table can lie on a cluster:

- **sharded** (most): ``T_local`` on every shard, and ``T``, a Distributed table, over them;
- **everywhere**: the tables that dictionaries read. A view on any server needs the whole signal
  map, so one replicated table spans all shards under its own name;
- views and dictionaries have no rows and are simply made on every server.

The shard of a row follows from its person, so that copies of one event, and all a person did, lie
together: FINAL looks at one server's rows only.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from analyzer_service import resources
from analyzer_service.errors import SchemaError
from analyzer_service.store.statements import Token, code_tokens, split_statements

USER_PATTERN: Final = "'^[0-9a-fA-F]{32}$'"
"""What the views accept as a pseudonym; a raw row must go where its signal goes."""

COLUMN_LIST_OTHERS: Final = frozenset({"INDEX", "CONSTRAINT", "PROJECTION", "PRIMARY"})
"""What else stands in a list of columns."""

ARRIVAL_DEFAULTS: Final = frozenset({"NOW", "NOW64"})
"""Defaults that differ between two deliveries of the same rows."""

STORAGE_CLAUSES: Final = frozenset({"PARTITION", "PRIMARY", "ORDER", "SAMPLE", "TTL", "SETTINGS"})


@dataclass(frozen=True, slots=True)
class Head:
    """The first words of a statement that changes tables."""

    verb: str
    """CREATE, ALTER, TRUNCATE, DROP, DELETE, OPTIMIZE or SYSTEM."""
    kind: str
    """TABLE, VIEW, MATERIALIZED VIEW, DICTIONARY; empty where the verb says all."""
    name: str
    position: int
    """Which token the name is."""


@dataclass(frozen=True, slots=True)
class Storage:
    """The storage clause of a table: where its engine stands and how its rows are sorted."""

    start: int
    """Where the clause begins in the statement; -1 if it has none."""
    text: str
    engine: str
    sorted_by: str
    """The first expression of the sorting key; empty for a table that keeps nothing."""


@dataclass(frozen=True, slots=True)
class TableLayout:
    """One table of the schema."""

    name: str
    columns: frozenset[str]
    storage: Storage
    arrival_columns: tuple[tuple[str, str, str], ...]
    """Name, type and expression of the columns that say when a row arrived."""
    everywhere: bool

    @property
    def shard_key(self) -> str:
        """The expression that says on which shard a row lies."""
        for needed, expression in SHARD_KEYS:
            if needed <= self.columns:
                return expression
        return f"cityHash64({self.storage.sorted_by or 'rand()'})"


def _raw_key(attributes: str) -> str:
    own, inherited = f"{attributes}['user.hash']", "ResourceAttributes['user.hash']"
    user = f"if({own} != '', {own}, {inherited})"
    return (
        f"cityHash64(multiIf(match({user}, {USER_PATTERN}), lower({user}),"
        " TraceId != '', TraceId, toString(toUnixTimestamp64Nano(Timestamp))))"
    )


SHARD_KEYS: Final = (
    (frozenset({"TraceId", "SpanAttributes", "ResourceAttributes"}), _raw_key("SpanAttributes")),
    (frozenset({"TraceId", "LogAttributes", "ResourceAttributes"}), _raw_key("LogAttributes")),
    (
        frozenset({"user_key", "trace_id", "event_time"}),
        "cityHash64(multiIf(user_key != toFixedString('', 16), lower(hex(user_key)),"
        " trace_id != '', trace_id, toString(toUnixTimestamp64Nano(event_time))))",
    ),
    (frozenset({"user_key"}), "cityHash64(lower(hex(user_key)))"),
    (frozenset({"service_name"}), "cityHash64(service_name)"),
    (frozenset({"ServiceName"}), "cityHash64(ServiceName)"),
)
"""Columns a table has, and then its key: the person, else the trace, else the instant, the same for
a raw row and for its signal; tables about services go by service. First match counts."""


class Layout:
    """Where the tables that some statements create lie."""

    def __init__(self, statements: Iterable[str]) -> None:
        """Read the statements of all migrations, in order."""
        tables: dict[str, TableLayout] = {}
        reads: dict[str, set[str]] = {}
        dictionaries: set[str] = set()
        for statement in statements:
            tokens = code_tokens(statement)
            head = read_head(tokens)
            if head is None or head.verb != "CREATE":
                continue
            if head.kind == "TABLE":
                tables[head.name] = _table(statement, tokens, head, tables)
            else:
                reads.setdefault(head.name, set()).update(_sources(tokens))
            if head.kind == "DICTIONARY":
                dictionaries.add(head.name)
        self._reads = reads
        whole = {name for dictionary in dictionaries for name in self.read_by(dictionary)}
        self.tables = {
            name: replace(table, everywhere=name in whole) for name, table in tables.items()
        }

    def read_by(self, name: str) -> set[str]:
        """Return every name a view or dictionary reads, also through other views."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            for source in self._reads.get(waiting.pop(), set()) - found:
                found.add(source)
                waiting.append(source)
        return found

    def table(self, statement: str, tokens: list[Token], head: Head) -> TableLayout:
        """Return a table; one that no migration creates (the ledger of them) is kept everywhere."""
        if head.name in self.tables:
            return self.tables[head.name]
        made = _table(statement, tokens, head, self.tables)
        return replace(made, everywhere=True)

    def is_sharded(self, name: str) -> bool:
        """Say whether rows of a name lie on different shards."""
        return name in self.tables and not self.tables[name].everywhere


@lru_cache(maxsize=1)
def shipped_layout() -> Layout:
    """Return the layout of the migrations that ship."""
    folder = resources.sql_folder() / "migrations"
    return Layout(
        statement
        for path in sorted(folder.glob("*.sql"))
        for statement in split_statements(path.read_text(encoding="utf-8"))
    )


def read_head(tokens: Sequence[Token]) -> Head | None:
    """Return what a statement changes; None if it only reads, inserts or sets.

    Raises:
        SchemaError: it changes tables in a way that has no form on a cluster.
    """
    words = [token.word for token in tokens[:8]]
    if words[0] == "CREATE":
        return _create_head(tokens, words)
    if words[0] in ("ALTER", "TRUNCATE", "DROP", "OPTIMIZE"):
        return _named(words[0], words[1], tokens, 2)
    if words[:2] == ["DELETE", "FROM"]:
        return _named("DELETE", "", tokens, 2)
    if words[:3] == ["SYSTEM", "RELOAD", "DICTIONARY"]:
        return _named("SYSTEM", "DICTIONARY", tokens, 3)
    if words[0] in ("RENAME", "EXCHANGE", "ATTACH", "DETACH", "UNDROP"):
        raise SchemaError(f"{words[0]} has no form on a cluster.")
    return None


def _create_head(tokens: Sequence[Token], words: list[str]) -> Head:
    at = 1
    if words[at : at + 2] == ["OR", "REPLACE"]:
        at += 2
    if words[at] == "MATERIALIZED":
        return _named("CREATE", "MATERIALIZED VIEW", tokens, at + 2)
    if words[at] not in ("TABLE", "VIEW", "DICTIONARY"):
        raise SchemaError(f"CREATE {words[at]} has no form on a cluster.")
    return _named("CREATE", words[at], tokens, at + 1)


def _named(verb: str, kind: str, tokens: Sequence[Token], at: int) -> Head:
    if tokens[at].word == "IF":
        at += 3 if tokens[at + 1].word == "NOT" else 2
    return Head(verb, kind, tokens[at].text.strip("`"), at)


def _table(
    statement: str, tokens: list[Token], head: Head, known: dict[str, TableLayout]
) -> TableLayout:
    storage = read_storage(statement, tokens)
    after = tokens[head.position + 1]
    if after.word == "AS":
        twin = known[tokens[head.position + 2].text]
        return TableLayout(
            head.name,
            twin.columns,
            twin.storage if storage.start < 0 else storage,
            twin.arrival_columns,
            everywhere=False,
        )
    definitions = _columns(tokens, head.position + 1)
    return TableLayout(
        head.name,
        frozenset(column[0].text.strip("`") for column in definitions),
        storage,
        tuple(found for column in definitions for found in _arrival(statement, column)),
        everywhere=False,
    )


def _columns(tokens: list[Token], opening: int) -> list[list[Token]]:
    """Return the tokens of each column between the parentheses that open at a token."""
    if tokens[opening].text != "(":
        raise SchemaError(f"{tokens[opening].text!r} stands where a list of columns should.")
    parts: list[list[Token]] = [[]]
    for token in tokens[opening + 1 :]:
        if token.depth == 0:
            break
        if token.text == "," and token.depth == 1:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part and part[0].word not in COLUMN_LIST_OTHERS]


def _arrival(statement: str, column: list[Token]) -> list[tuple[str, str, str]]:
    words = [token.word if token.depth == 1 else "" for token in column]
    if "DEFAULT" not in words:
        return []
    at = words.index("DEFAULT")
    if column[at + 1].word not in ARRIVAL_DEFAULTS:
        return []
    end = next((i for i in range(at + 1, len(words)) if words[i] in ("CODEC", "TTL")), len(words))
    kind = statement[column[1].start : column[at - 1].end]
    return [(column[0].text, kind, statement[column[at + 1].start : column[end - 1].end])]


def read_storage(statement: str, tokens: list[Token]) -> Storage:
    """Return the storage clause of a CREATE TABLE."""
    outside = [token for token in tokens if token.depth == 0]
    words = [token.word for token in outside]
    if "ENGINE" not in words:
        return Storage(-1, "", "", "")
    at = words.index("ENGINE")
    engine = outside[at + 2] if words[at + 1] == "=" else outside[at + 1]
    start = outside[at].start
    sorted_by = ""
    if "ORDER" in words[at:]:
        key = tokens.index(outside[words.index("ORDER", at) + 2])
        sorted_by = _first_expression(statement, tokens, key)
    return Storage(start, statement[start:], engine.text, sorted_by)


def _first_expression(statement: str, tokens: list[Token], at: int) -> str:
    """Return the first expression of a sorting key, in parentheses or alone."""
    first = at + 1 if tokens[at].text == "(" else at
    depth = tokens[first].depth
    end = first
    for token in tokens[first:]:
        if token.depth < depth or (
            token.depth == depth and (token.text == "," or token.word in STORAGE_CLAUSES)
        ):
            break
        end += 1
    return statement[tokens[first].start : tokens[end - 1].end]


def _sources(tokens: list[Token]) -> set[str]:
    """Return the names a view or dictionary reads."""
    found = set()
    for before, token in itertools.pairwise(tokens):
        if before.word in ("FROM", "JOIN") and token.text != "(":
            found.add(token.text.strip("`"))
        if before.word == "TABLE" and token.text.startswith("'"):
            found.add(token.text.strip("'"))
    return found
