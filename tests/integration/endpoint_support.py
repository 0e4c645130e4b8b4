"""A running endpoint over a real store, and the plainest of clients."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from store_fixture import fresh_store

from analyzer_service.endpoint import Endpoint, EndpointSettings
from analyzer_service.store.connect import Store
from analyzer_service.store.gate import QueryLimits

TOKENS = {"reader-token": "reader", "writer-token": "writer", "operator-token": "operator"}
LIMITS = QueryLimits(seconds=1.0, result_rows=300_000, result_bytes=20_000_000)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def code(self) -> int:
        return int(self.headers.get("x-clickhouse-exception-code", "0"))


@dataclass(frozen=True)
class Running:
    store: Store
    endpoint: Endpoint

    def ask(
        self,
        sql: str | bytes = b"",
        role: str = "operator",
        *,
        method: str = "POST",
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        **parameters: str,
    ) -> Answer:
        """Send a statement as the body, with a role's token."""
        connection = http.client.HTTPConnection("127.0.0.1", self.endpoint.port, timeout=20)
        body = sql.encode("utf-8", "surrogatepass") if isinstance(sql, str) else sql
        sent = {"X-ClickHouse-User": "x", "X-ClickHouse-Key": f"{role}-token", **(headers or {})}
        try:
            connection.request(method, f"{path}?{urlencode(parameters)}", body, sent)
            response = connection.getresponse()
            return Answer(
                response.status,
                {name.lower(): value for name, value in response.headers.items()},
                response.read(),
            )
        finally:
            connection.close()

    def count(self, table: str) -> int:
        return int(self.store.query(f"SELECT count() FROM {table}")[0][0])


@contextmanager
def running_endpoint(folder: Path) -> Iterator[Running]:
    with fresh_store(folder, engine_threads=2) as store:
        settings = EndpointSettings(
            address="127.0.0.1:0",
            limits=LIMITS,
            max_body_bytes=8_000_000,
            max_insert_bytes=20_000_000,
            engine_threads=2,
        )
        endpoint = Endpoint(
            store, settings=settings, authenticate=lambda _, password: TOKENS.get(password)
        )
        endpoint.start()
        try:
            yield Running(store, endpoint)
        finally:
            endpoint.stop()
