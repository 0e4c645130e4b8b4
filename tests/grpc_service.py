"""A real gRPC server on a free port over answers in memory, with tokens in a state folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from memory_analyzer import MemoryAnalyzer

from analyzer_service.domain import AnalysisRequest
from analyzer_service.server.client import RemoteAnalyzer
from analyzer_service.server.grpc_server import GrpcServer, TlsFiles
from analyzer_service.server.tokens import Tokens, load_tokens

DEFAULTS = AnalysisRequest(rule_set="paper", preset="paper")


@dataclass
class Served:
    """What a test needs of a running server."""

    analyzer: MemoryAnalyzer
    tokens: Tokens
    address: str
    state_folder: Path

    def client(self, token: str | None = None) -> RemoteAnalyzer:
        return RemoteAnalyzer(self.address, token=self.tokens.operator if token is None else token)


@contextmanager
def served(
    state_folder: Path, *, authenticated: bool = True, tls: TlsFiles | None = None
) -> Iterator[Served]:
    analyzer = MemoryAnalyzer()
    tokens = load_tokens(state_folder)
    server = GrpcServer(
        analyzer,
        port=0,
        tokens=tokens if authenticated else None,
        tls=tls,
        defaults=DEFAULTS,
        query_max_rows=1000,
    )
    with server:
        yield Served(analyzer, tokens, f"127.0.0.1:{server.port}", state_folder)
