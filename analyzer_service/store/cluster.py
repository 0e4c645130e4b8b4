"""One schema on one server or on many: the statements a cluster gets instead.

The migrations, and whatever changes tables at run time, are written for one server. On a cluster
``Cluster.spread`` turns each such statement into the ones to send: tables become replicated ones
on every shard with a Distributed table over them, everything happens ON CLUSTER, and what must
have reached all replicas first is waited for. SELECT and INSERT stay as they are, because the
Distributed tables have the names. See docs/adr/0009-scale-out.md.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from analyzer_service.errors import InvalidInputError, SchemaError
from analyzer_service.store.layout import Head, Layout, TableLayout, read_head, shipped_layout
from analyzer_service.store.statements import Token, code_tokens

LOCAL: Final = "_local"
"""The part of a table that lies on one shard is named after the whole."""

KEEPER_PATH: Final = "/clickhouse/tables"
"""Where replicas find each other; ``{shard}`` and ``{replica}`` are each server's own macros."""

DEDUPLICATION: Final = ("non_replicated_deduplication_window", "replicated_deduplication_window")

DDL_SECONDS: Final = 180
"""How long a change may take to reach every server: replicas fetch staged parts first."""

SETTINGS: Final = (
    # An acknowledged row is on its shard, and on most of that shard's replicas.
    ("distributed_foreground_insert", 1),
    ("insert_quorum", "auto"),
    # What was just written is read from where it was written, whichever server is asked.
    ("load_balancing", "in_order"),
    ("prefer_localhost_replica", 0),
    # A subquery in IN or JOIN is about all shards, and is worked out once.
    ("distributed_product_mode", "global"),
    # INSERT … SELECT groups over all shards; the engine's default would group on each alone.
    ("parallel_distributed_insert_select", 0),
    # A change is finished when every replica that is up has it; one that is down gets it later.
    ("alter_sync", 2),
    ("replication_wait_for_inactive_replica_timeout", 0),
    ("distributed_ddl_task_timeout", DDL_SECONDS),
    ("distributed_ddl_output_mode", "throw_only_active"),
    # A day may have come out empty on one shard only; its old rows there must go too.
    ("allow_replace_partition_from_empty_source", 1),
)
"""Engine settings of every handle to a cluster, readers' included. docs/operations.md says why."""

BETWEEN_SERVERS: Final = frozenset({"insert_quorum", "prefer_localhost_replica"})
"""Settings that mean nothing, or harm, where all shards are one process."""

COLUMN_COMMANDS: Final = frozenset({"ADD", "MODIFY", "DROP", "RENAME", "COMMENT", "CLEAR"})

_CLUSTER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_FAMILY = "MergeTree"

Edit = tuple[int, int, str]
"""Start and end in a statement, and what stands there instead."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that the server's configuration names, and our tables on it.

    Args:
        name: the name under ``remote_servers``.
        database: the database, by the same name on every server.
        layout: where each table lies.
        coordinated: whether Keeper coordinates replicas and changes. Without it (shards of one
            process) tables are not replicated and nothing is sent ON CLUSTER.
    """

    name: str
    database: str = "default"
    layout: Layout = field(default_factory=shipped_layout, repr=False, compare=False)
    coordinated: bool = True

    def __post_init__(self) -> None:
        """Check the name.

        Raises:
            InvalidInputError: it is no plain name, and would have to stand in every statement.
        """
        if not _CLUSTER_NAME.fullmatch(self.name):
            raise InvalidInputError(
                f"{self.name!r} is no name of a cluster.",
                hint="It is a name under remote_servers of the servers: letters, digits, _.",
                field="cluster",
            )

    @property
    def settings(self) -> tuple[tuple[str, object], ...]:
        """The engine settings a cluster needs."""
        if self.coordinated:
            return SETTINGS
        return tuple(item for item in SETTINGS if item[0] not in BETWEEN_SERVERS)

    def spread(self, statement: str) -> tuple[str, ...]:
        """Return what to send, in order, instead of a statement written for one server.

        Raises:
            SchemaError: the statement has no form on a cluster.
        """
        tokens = code_tokens(statement)
        head = read_head(tokens)
        if head is None:
            return (statement,)
        return tuple(_Rewriting(self, statement, tokens, head).statements())


class _Rewriting:
    """One statement on its way to a cluster."""

    def __init__(self, cluster: Cluster, text: str, tokens: list[Token], head: Head) -> None:
        self._cluster = cluster
        self._layout = cluster.layout
        self._text = text
        self._tokens = tokens
        self._head = head
        self._on_cluster = f" ON CLUSTER {cluster.name}" if cluster.coordinated else ""

    def statements(self) -> list[str]:
        """Return the statements to send."""
        head = self._head
        if head.verb == "SYSTEM":
            return self._reload()
        if head.verb == "CREATE" and head.kind == "TABLE":
            return self._create(self._layout.table(self._text, self._tokens, head))
        if head.name not in self._layout.tables:
            return [self._everywhere_object()]
        if head.verb == "DROP":
            return self._drop()
        if self._layout.tables[head.name].everywhere:
            return [self._text]  # the replicas of the one table tell each other
        return self._alter() if head.verb == "ALTER" else [self._edited([self._renamed()])]

    # --- views, dictionaries --------------------------------------------------------------
    def _everywhere_object(self) -> str:
        name = self._tokens[self._head.position]
        edits = [(name.end, name.end, self._on_cluster)]
        if self._head.kind == "MATERIALIZED VIEW" or self._modifies_query():
            edits += self._local_names()
        return self._edited(edits)

    def _modifies_query(self) -> bool:
        words = [token.word for token in self._tokens]
        return self._head.verb == "ALTER" and "QUERY" in words[: self._head.position + 3]

    def _local_names(self) -> list[Edit]:
        """Point a materialized view at its own server's part of what it reads and writes."""
        edits: list[Edit] = []
        read = set()
        for before, token in itertools.pairwise(self._tokens):
            name = token.text.strip("`")
            if before.word in ("FROM", "JOIN", "TO") and self._layout.is_sharded(name):
                edits.append((token.end, token.end, LOCAL))
                if before.word != "TO":
                    read.add(name)
        if len(read) > 1:
            raise SchemaError(
                f"The view {self._head.name} joins {' and '.join(sorted(read))}, whose rows may lie"
                " on different shards."
            )
        return edits

    def _reload(self) -> list[str]:
        name = self._head.name
        sources = sorted(self._layout.read_by(name) & self._layout.tables.keys())
        if not self._cluster.coordinated:
            return [self._text]
        waits = [f"SYSTEM SYNC REPLICA{self._on_cluster} {source}" for source in sources]
        return [*waits, f"SYSTEM RELOAD DICTIONARY{self._on_cluster} {name}"]

    # --- tables ---------------------------------------------------------------------------
    def _create(self, table: TableLayout) -> list[str]:
        storage = table.storage
        has_own = self._text.endswith(storage.text) and storage.start >= 0
        body = self._text[: -len(storage.text)] if has_own else self._text + "\n"
        edits = [self._renamed() if not table.everywhere else self._here()]
        twin = self._tokens[self._head.position + 2]
        if self._tokens[self._head.position + 1].word == "AS" and self._layout.is_sharded(
            twin.text
        ):
            edits.append((twin.end, twin.end, LOCAL))
        made = _apply(body, edits) + self._storage(table)
        return [made] if table.everywhere else [made, self._distributed(table), *self._times(table)]

    def _storage(self, table: TableLayout) -> str:
        """Return the storage clause of a table, replicated."""
        text = table.storage.text
        if not self._cluster.coordinated or not table.storage.engine.endswith(_FAMILY):
            return text
        tokens = code_tokens(text)
        engine = next(i for i, token in enumerate(tokens) if token.text.endswith(_FAMILY))
        edits = [(tokens[engine].start, tokens[engine].start, "Replicated")]
        place = self._replica(table)
        arguments = tokens[engine + 1] if engine + 1 < len(tokens) else None
        if arguments is None or arguments.text != "(":
            edits.append((tokens[engine].end, tokens[engine].end, f"({place})"))
        else:
            comma = "" if tokens[engine + 2].text == ")" else ", "
            edits.append((arguments.end, arguments.end, place + comma))
        edits += [
            (token.start, token.end, DEDUPLICATION[1])
            for token in tokens
            if token.text == DEDUPLICATION[0]
        ]
        return _apply(text, edits)

    def _replica(self, table: TableLayout) -> str:
        if table.everywhere:
            path = f"{KEEPER_PATH}/everywhere/{self._cluster.database}/{table.name}"
            return f"'{path}', '{{shard}}-{{replica}}'"
        path = f"{KEEPER_PATH}/{{shard}}/{self._cluster.database}/{table.name}{LOCAL}"
        return f"'{path}', '{{replica}}'"

    def _distributed(self, table: TableLayout) -> str:
        cluster = self._cluster
        return (
            f"CREATE TABLE IF NOT EXISTS {table.name}{self._on_cluster} AS {table.name}{LOCAL}\n"
            f"ENGINE = Distributed('{cluster.name}', '{cluster.database}', '{table.name}{LOCAL}', "
            f"{table.shard_key})"
        )

    def _times(self, table: TableLayout) -> list[str]:
        """Leave the time of arrival to the shard.

        Filled in on the way, it would make a batch that is sent again look like another one.
        """
        return [
            f"ALTER TABLE {table.name}{self._on_cluster} MODIFY COLUMN {column} {kind}"
            f" MATERIALIZED {expression}"
            for column, kind, expression in table.arrival_columns
        ]

    def _alter(self) -> list[str]:
        changes = self._commands()
        words = [[token.word for token in change] for change in changes]
        columns = [
            self._text[change[0].start : change[-1].end]
            for change, named in zip(changes, words, strict=True)
            if named[0] in COLUMN_COMMANDS and named[1] == "COLUMN"
        ]
        sent = []
        edits = [self._renamed()]
        source = self._swapped_in(changes[0])
        if source is not None:
            edits.append((source.end, source.end, LOCAL))
            if self._cluster.coordinated:
                # Whichever replica carries it out must have the rows to be swapped in.
                sent.append(f"SYSTEM SYNC REPLICA{self._on_cluster} {source.text}{LOCAL}")
        sent.append(self._edited(edits))
        if columns:
            name = self._head.name
            sent.append(f"ALTER TABLE {name}{self._on_cluster} {', '.join(columns)}")
        return sent

    def _commands(self) -> list[list[Token]]:
        parts: list[list[Token]] = [[]]
        for token in self._tokens[self._head.position + 1 :]:
            if token.text == "," and token.depth == 0:
                parts.append([])
            else:
                parts[-1].append(token)
        return parts

    def _swapped_in(self, change: Sequence[Token]) -> Token | None:
        words = [token.word for token in change]
        if words[1:2] != ["PARTITION"] or "FROM" not in words:
            return None
        source = change[words.index("FROM") + 1]
        return source if self._layout.is_sharded(source.text) else None

    def _drop(self) -> list[str]:
        here = self._edited([self._here()])
        if self._layout.tables[self._head.name].everywhere:
            return [here]
        return [here, self._edited([self._renamed()])]

    # --- pieces ---------------------------------------------------------------------------
    def _here(self) -> Edit:
        name = self._tokens[self._head.position]
        return name.end, name.end, self._on_cluster

    def _renamed(self) -> Edit:
        name = self._tokens[self._head.position]
        return name.start, name.end, self._head.name + LOCAL + self._on_cluster

    def _edited(self, edits: Sequence[Edit]) -> str:
        return _apply(self._text, edits)


def _apply(text: str, edits: Sequence[Edit]) -> str:
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text
