"""The receiver is killed for a minute under load: nothing is lost, or every loss is counted.

A program emits spans and events with the library, straight to the service's receiver, which is
killed with SIGKILL and started again. With a spool all of it arrives; without, what did not
arrive is what the program's own counters say.

``python -m benchmarks.spool`` takes about five minutes and writes ``results/spool.json``;
``--slice`` takes less than half a minute, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS, commit, machine

# The service is started as the end-to-end tests start it.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from collector_program import SALT, PinnedService

ARRIVAL_SECONDS = 120.0
BATCH = 512
BATCHES_IN_FLIGHT = 4
"""One of spans and one of log records, when the receiver dies and, on a busy machine, again when
it is back and slow."""
SERVICE = "spool-benchmark"
STORED = f"""
SELECT
    (SELECT uniqExact(SpanId) FROM otel_traces WHERE ServiceName = '{SERVICE}')
    + (SELECT uniqExact(LogAttributes['log.record.uid']) FROM otel_logs
       WHERE ServiceName = '{SERVICE}') AS n
"""

EMITTER = """
import json, sys, time
import otel_instrumentation as mlp
from otel_instrumentation._counters import counters

rate, seconds = int(sys.argv[1]), float(sys.argv[2])
mlp.configure(stage="model_training", component="jobs")
TICK = 0.01
emitted, late, begun = 0, 0.0, time.monotonic()
with mlp.user("ann"), mlp.session("s1"):
    while (now := time.monotonic() - begun) < seconds:
        while emitted < now * rate:
            with mlp.operation("step"):
                pass
            mlp.action("said")
            emitted += 2
        time.sleep(TICK)
taken = time.monotonic() - begun
# With a spool: until the receiver is back. Without, nothing waits for anything.
patience = time.monotonic() + float(sys.argv[3])
while not mlp.flush() and time.monotonic() < patience:
    time.sleep(0.2)
mlp.shutdown()
said = {}
for (name, attributes), value in counters.values().items():
    reason = dict(attributes).get("error.type", "")
    said[reason] = said.get(reason, 0) + value if reason else 0
print(json.dumps({"emitted": emitted, "seconds": taken, "lost": counters.lost(),
                  "lost_by_reason": {k: v for k, v in said.items() if k}}))
"""


@dataclass(frozen=True)
class Plan:
    """How much, and what happens when (seconds since the first event)."""

    rate: int
    seconds: float
    killed_at: float
    back_at: float


WHOLE = Plan(rate=2_000, seconds=90.0, killed_at=10.0, back_at=70.0)
SLICE = Plan(rate=2_000, seconds=7.0, killed_at=1.5, back_at=4.0)


def run(plan: Plan, *, spool: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        service = PinnedService(folder / "service")
        with service:
            emitter = _emitter(plan, service, folder / "spool" if spool else None)
            begun = time.monotonic()
            time.sleep(plan.killed_at)
            service.kill()
            killed = time.monotonic()
            time.sleep(max(0.0, begun + plan.back_at - time.monotonic()))
            service.start()
            back = time.monotonic()
            out, _ = emitter.communicate(timeout=plan.seconds + 2 * ARRIVAL_SECONDS)
            told = json.loads(out)
            expected = told["emitted"] - told["lost"]
            stored = _stored(service, expected)
            left = sum(file.stat().st_size for file in (folder / "spool").rglob("*.otlp"))
        return {
            "spool": spool,
            "rate": told["emitted"] / told["seconds"],
            "outage_seconds": back - killed,
            "emitted": told["emitted"],
            "stored": stored,
            "lost": told["emitted"] - stored,
            "counted_lost": told["lost"],
            "lost_by_reason": told["lost_by_reason"],
            "left_in_spool_bytes": left,
            "arrived_after_seconds": time.monotonic() - back,
        }


def _emitter(plan: Plan, service: PinnedService, spool: Path | None) -> subprocess.Popen[str]:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{service.pinned}",
        "OTEL_SERVICE_NAME": SERVICE,
        "OTEL_MLP_USER_SALT": SALT,
    }
    if spool is not None:
        variables["OTEL_MLP_SPOOL_FOLDER"] = str(spool)
    return subprocess.Popen(
        [sys.executable, "-c", EMITTER, str(plan.rate), str(plan.seconds), str(ARRIVAL_SECONDS)],
        env={**service.program.environment, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _stored(service: PinnedService, expected: int) -> int:
    """Counts what is stored, once it is all that can be."""
    deadline = time.monotonic() + ARRIVAL_SECONDS
    before = -1
    while True:
        stored = service.count(STORED)
        if stored >= expected or (stored == before and time.monotonic() > deadline):
            return stored
        before = stored
        time.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spool")
    parser.add_argument("--slice", action="store_true", help="a small run that writes nothing")
    small = parser.parse_args().slice
    plan = SLICE if small else WHOLE
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "runs": [run(plan, spool=spool) for spool in (True, False)],
    }
    text = json.dumps(results, indent=2)
    print(text)
    if not small:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "spool.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
