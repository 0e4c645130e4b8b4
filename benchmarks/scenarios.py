"""What comes out of the simulated platforms, easy and hard, under the literal rules.

The easy one proves the plumbing and has to come out exactly; the hard one is reported beside it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sklearn.metrics import adjusted_rand_score

from analyzer_service.analyzer import Analyzer
from analyzer_service.clock import SystemClock
from analyzer_service.domain import AnalysisRequest, BottleneckStatus, UserReport
from analyzer_service.ingest import IngestSettings, Receiver
from analyzer_service.otlp.sender import OtlpSender
from analyzer_service.simulate import World, load_scenario, simulate
from analyzer_service.store.connect import open_store
from analyzer_service.store.migrations import migrate
from analyzer_service.store.writer import RawWriter
from otel_instrumentation import semconv

Identity = tuple[str, ...]


def run(*, scenario: str, seed: int | None, rules: str, folder: Path) -> dict[str, Any]:
    world = World(load_scenario(scenario), seed=seed)
    with open_store(f"chdb://{folder}") as store:
        migrate(store)
        settings = IngestSettings(
            grpc_address="127.0.0.1:0", http_address="127.0.0.1:0", salt="s" * 32
        )
        receiver = Receiver(RawWriter(store), settings=settings)
        receiver.start()
        try:
            with OtlpSender(f"127.0.0.1:{receiver.grpc_port}") as sender:
                sent = simulate(world, sender)
        finally:
            receiver.stop()
        analyzer = Analyzer(store, SystemClock(), stages=semconv.STAGES)
        analyzer.run(AnalysisRequest(rule_set=rules))
        return {
            "scenario": scenario,
            "rules": rules,
            "records": sent.spans + sent.events,
            **judged(analyzer, world.truth()),
        }


def judged(analyzer: Analyzer, truth: Mapping[str, Any]) -> dict[str, Any]:
    """Compare an analysis with what was planted."""
    report: Mapping[str, Any] = analyzer.report()
    users = all_users(analyzer)
    planted = {identity(item): set(item["affected"]) for item in truth["challenges"]}
    found = {identity(item): item["id"] for item in report["challenges"]}
    segments = {user.segment.user: user.segment.segment.value for user in users}
    known = sorted(truth["users"])
    names = {challenge_id: name for name, challenge_id in found.items()}
    held = {
        (user.segment.user, names[item.challenge_id])
        for user in users
        for item in user.bottlenecks
        if item.status is BottleneckStatus.BOTTLENECK
    }
    wanted = {(user, name) for name, affected in planted.items() for user in affected}
    return {
        "segments": report["segments"],
        "adjusted_rand_index": round(
            adjusted_rand_score([truth["users"][u] for u in known], [segments[u] for u in known]), 3
        ),
        "challenges_planted": len(planted),
        "challenges_found": len(planted.keys() & found.keys()),
        "challenges_else": len(found.keys() - planted.keys()),
        "bottleneck_precision": round(len(held & wanted) / max(len(held), 1), 3),
        "bottleneck_recall": round(len(held & wanted) / max(len(wanted), 1), 3),
    }


def identity(item: Mapping[str, Any]) -> Identity:
    return tuple(str(item[name]) for name in ("kind", "stage", "component", "signal"))


def all_users(analyzer: Analyzer) -> list[UserReport]:
    users: list[UserReport] = []
    token = ""
    while True:
        page = analyzer.list_users(page_size=1000, page_token=token)
        users += page.items
        token = page.next_token
        if not token:
            return users


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenario", required=True)
    parser.add_argument("--rules", required=True)
    parser.add_argument("--seed", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(
            json.dumps(
                run(
                    scenario=given.scenario,
                    seed=given.seed,
                    rules=given.rules,
                    folder=Path(scratch) / "store",
                )
            )
        )
