"""Two shards in one process: the real Distributed tables over the real engine, without Keeper.

The engine reads ``config.xml`` of its working folder when the first store opens. The cluster there
has two shards, both this process. A filter on each local table lets a shard see its own rows only
(`shardNum()` says which one asks; 0 is a query that is not distributed and sees all), by the very
expression that the Distributed table routes by. What is missing is the network, replicas and
ON CLUSTER.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from analyzer_service.store.cluster import LOCAL, Cluster
from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.layout import shipped_layout
from analyzer_service.store.migrations import migrate

NAME = "two"
SHARDS = 2

SHARD = "<shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard>"
"""The engine's own port by its word: nothing listens there, it only means this process."""


def own_rows(key: str, shards: int = SHARDS) -> str:
    return f"shardNum() = 0 OR {key} % {shards} + 1 = shardNum()"


def configuration() -> str:
    tables = shipped_layout().tables.values()
    filters = "".join(
        f"<{table.name}{LOCAL}><filter>{escape(own_rows(table.shard_key))}</filter></{table.name}{LOCAL}>"
        for table in tables
        if not table.everywhere and table.storage.engine != "Null"
    )
    return f"""<clickhouse>
<tcp_port>9000</tcp_port>
<remote_servers><{NAME}>{SHARD * SHARDS}</{NAME}></remote_servers>
<profiles><default/></profiles>
<quotas><default/></quotas>
<users><default>
    <password/>
    <networks><ip>::/0</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
    <databases><default>{filters}</default></databases>
</default></users>
<users_config>config.xml</users_config>
</clickhouse>
"""


@contextlib.contextmanager
def two_shards(folder: Path) -> Iterator[Store]:
    """Open a migrated store whose tables are Distributed over two shards."""
    home = folder / "engine"
    home.mkdir()
    (home / "config.xml").write_text(configuration(), encoding="utf-8")
    cluster = Cluster(NAME, coordinated=False)
    with (
        contextlib.chdir(home),
        open_store(f"chdb://{folder / 'shards'}", cluster=cluster) as store,
    ):
        migrate(store)
        yield store
