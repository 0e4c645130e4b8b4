"""Everything that dies, dies: the service, the Collector, the path between them; nothing is lost.

Simulated telemetry goes through the real Collector into the service, both ways (``gateway``: the
clickhouse exporter and the ClickHouse endpoint; ``embedded``: OTLP and the receiver), while under
load the service is killed three times, the Collector twice, the network path between them is cut,
and poison is sent. Another service, which nothing happens to, gets the same payloads straight. Then
the settled tables and the reports of both are compared.

``python -m benchmarks.soak`` takes about fifteen minutes and writes ``results/soak.json``;
``--slice`` takes one, with every kind of fault once, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from analyzer_service.otlp.sender import OtlpSender
from benchmarks.forwarder import Forwarder
from benchmarks.load import Load, Payload, payloads
from benchmarks.machine import RESULTS, commit, machine
from benchmarks.poison import MARKER, POISON, marker, poisons
from benchmarks.twin import OURS, client, new_service, state, twin

# The programs are started as the end-to-end tests start them.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import collector_program
from collector_program import Collector, counted
from programs import Service

WAYS = ("gateway", "embedded")
ARRIVAL_SECONDS = 600.0
POLL_SECONDS = 0.25
QUICK = """
exporters:
  {exporter}:
    timeout: 5s
    retry_on_failure: {{max_interval: 2s}}
"""
"""The slice does not wait out the half minutes between two tries of a long outage."""

Fault = Callable[["Soak"], None]


@dataclass(frozen=True)
class Plan:
    """How much, how fast, and what happens at which share of it."""

    records: int
    request_records: int
    seconds: float
    """Over which the load is spread, without what waiting adds."""
    cut_seconds: float
    down_seconds: float
    faults: tuple[tuple[float, str], ...]
    large: bool
    """Whether the request that grows to hundreds of megabytes is among the poison."""
    quick: bool


WHOLE = Plan(
    records=200_000,
    request_records=500,
    seconds=150,
    cut_seconds=60,
    down_seconds=5,
    faults=(
        (0.10, "service killed"),
        (0.25, "poison"),
        (0.35, "path cut"),
        (0.50, "collector terminated while the service is killed"),
        (0.70, "collector killed"),
        (0.85, "service killed"),
    ),
    large=True,
    quick=False,
)
SLICE = Plan(
    records=12_000,
    request_records=250,
    seconds=10,
    cut_seconds=3,
    down_seconds=1,
    faults=(
        (0.10, "service killed"),
        (0.25, "poison"),
        (0.40, "path cut"),
        (0.60, "collector terminated while the service is killed"),
        (0.80, "collector killed"),
    ),
    large=False,
    quick=True,
)


@dataclass
class Soak:
    """One way, from the first record to the comparison."""

    way: str
    plan: Plan
    folder: Path
    service: Service = field(init=False)
    collector: Collector = field(init=False)
    path: Forwarder = field(init=False)
    events: list[dict[str, object]] = field(default_factory=list)
    peaks: dict[str, int] = field(default_factory=lambda: {"service": 0, "collector": 0})
    markers: int = 0

    def run(self, load: list[Payload], expected: dict[str, object]) -> dict[str, object]:
        """Do it and return the figures; raises if anything differs from the undisturbed twin."""
        with ExitStack() as stack:
            self.path = stack.enter_context(Forwarder())
            self.service = new_service(self.folder / "service")
            self.start_service()
            stack.callback(self.service.stop)
            self.collector = self._collector()
            self.collector.start()
            stack.callback(self.collector.stop)
            begun = time.monotonic()
            sending = Load(self.collector.otlp, load, self.plan.seconds)
            stack.callback(sending.close)
            sending.start()
            ends = [share for share, _ in self.plan.faults[1:]] + [1.0]
            sending.allow(self.plan.faults[0][0])
            for (share, name), end in zip(self.plan.faults, ends, strict=True):
                sending.wait_for(share)
                sending.allow(end)
                FAULTS[name](self)
            sending.end()
            accepted = time.monotonic()
            self._wait_until_stored(load)
            stored = time.monotonic()
            self._wait_until_empty()
            found = state(self.service)
            poisoned = self._poisoned()
            self._note_peaks()
        differences = [name for name, value in expected.items() if found[name] != value]
        assert not differences, f"{self.way}: {differences} differ from the undisturbed twin"
        return {
            "way": self.way,
            "records": sum(records for _, _, records in load),
            "requests": len(load),
            "retries": sending.retries,
            "seconds_of_load": round(accepted - begun, 1),
            "seconds_until_stored": round(stored - accepted, 1),
            "events": self.events,
            "poison": poisoned,
            "peak_mebibytes": self.peaks,
            "lost": 0,
            "equal": sorted(expected),
        }

    def start_service(self) -> None:
        """Start it and lead the path to it."""
        self.service.start()
        port = "clickhouse_port" if self.way == "gateway" else "otlp_grpc_port"
        self.path.target = self.service.ports[port]

    def kill_service(self) -> None:
        """SIGKILL."""
        self._note_peaks()
        self.path.target = 0
        self.service.kill()

    def end_collector(self, how: signal.Signals) -> None:
        """Send a signal and wait for its end."""
        self._note_peaks()
        self.collector.end(how)

    def note(self, what: str, **figures: float) -> None:
        """Keep figures of a fault."""
        self.events.append({"event": what, **{k: round(v, 1) for k, v in figures.items()}})

    def time_of_a_marker(self) -> float:
        """Return the seconds from sending a record to reading it."""
        self.markers += 1
        begun = time.monotonic()
        with OtlpSender(self.collector.otlp) as sender:
            sender.send_traces(marker(self.markers), records=1)
        self._wait(f"otel_traces WHERE ServiceName = '{MARKER}'", self.markers)
        return time.monotonic() - begun

    def send_poison(self) -> int:
        """Send every kind; return how many requests."""
        made = poisons(large=self.plan.large and self.way == "gateway")
        for _, kind, request in made:
            post(self.collector, kind, request)
        return len(made)

    def _collector(self) -> Collector:
        folder = self.folder / "collector"
        folder.mkdir()
        if self.way == "gateway":
            made = collector_program.clickhouse(folder, self.service)
            address = {"MLP_COLLECTOR_CLICKHOUSE": f"http://127.0.0.1:{self.path.port}"}
        else:
            made = collector_program.embedded(folder, self.service)
            address = {"MLP_COLLECTOR_SERVICE": f"127.0.0.1:{self.path.port}"}
        made.variables = {**made.variables, **address}
        if self.plan.quick:
            overlay = folder / "quick.yaml"
            exporter = "clickhouse" if self.way == "gateway" else "otlp_grpc"
            overlay.write_text(QUICK.format(exporter=exporter))
            made.more = (*made.more, str(overlay))
        return made

    def _wait_until_stored(self, load: list[Payload]) -> None:
        for table, kind in (("otel_traces", "traces"), ("otel_logs", "logs")):
            wanted = sum(records for one, _, records in load if one == kind)
            self._wait(f"{table} WHERE {OURS}", wanted)

    def _wait_until_empty(self) -> None:
        """Wait until the Collector's queue holds nothing: poison is dealt with, too."""
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while queued := self._queued():
            if time.monotonic() > deadline:
                raise AssertionError(f"{queued} bytes stay queued\n{self.collector.log()}")
            time.sleep(POLL_SECONDS)

    def _queued(self) -> float:
        name = "otelcol_exporter_queue_size{"
        lines = self.collector.metrics().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    def _poisoned(self) -> dict[str, int]:
        """Return what became of the records of poison."""
        with client(self.service) as analyzer:
            return {
                name: counted(analyzer, f"SELECT count() FROM {what}")
                for name, what in (
                    ("stored", f"otel_traces WHERE ServiceName = '{POISON}'"),
                    ("signals", f"signals WHERE service_name = '{POISON}'"),
                    ("rejected", "rejected"),
                )
            }

    def _wait(self, what: str, wanted: int) -> None:
        deadline = time.monotonic() + ARRIVAL_SECONDS
        with client(self.service) as analyzer:
            while (found := counted(analyzer, f"SELECT count() FROM {what}")) != wanted:
                if time.monotonic() > deadline:
                    raise AssertionError(f"{what}: {found} of {wanted}\n{self.collector.log()}")
                time.sleep(POLL_SECONDS)

    def _note_peaks(self) -> None:
        for name, process in (("service", self.service), ("collector", self.collector)):
            assert process.process is not None
            self.peaks[name] = max(self.peaks[name], peak_mebibytes(process.process.pid))


def kill_the_service(soak: Soak) -> None:
    soak.kill_service()
    time.sleep(soak.plan.down_seconds)
    begun = time.monotonic()
    soak.start_service()
    back = time.monotonic()
    soak.note(
        "service killed",
        down=soak.plan.down_seconds,
        start=back - begun,
        first=soak.time_of_a_marker(),
    )


def cut_the_path(soak: Soak) -> None:
    soak.path.cut()
    time.sleep(soak.plan.cut_seconds)
    soak.path.mend()
    soak.note("path cut", cut=soak.plan.cut_seconds, first=soak.time_of_a_marker())


def end_the_collector_while_the_service_is_away(soak: Soak) -> None:
    soak.kill_service()
    time.sleep(soak.plan.down_seconds)
    begun = time.monotonic()
    soak.end_collector(signal.SIGTERM)
    ended = time.monotonic()
    if soak.way == "embedded":
        soak.collector.start()
    soak.start_service()
    if soak.way == "gateway":
        # The clickhouse exporter learns once, at its start, whether events have names.
        soak.collector.start()
    soak.note(
        "collector terminated while the service is killed",
        end=ended - begun,
        first=soak.time_of_a_marker(),
    )


def kill_the_collector(soak: Soak) -> None:
    soak.end_collector(signal.SIGKILL)
    time.sleep(soak.plan.down_seconds)
    soak.collector.start()
    soak.note("collector killed", down=soak.plan.down_seconds, first=soak.time_of_a_marker())


def poison(soak: Soak) -> None:
    before = soak.time_of_a_marker()
    sent = soak.send_poison()
    soak.note("poison", requests=sent, first_before=before, first_after=soak.time_of_a_marker())


FAULTS: dict[str, Fault] = {
    "service killed": kill_the_service,
    "poison": poison,
    "path cut": cut_the_path,
    "collector terminated while the service is killed": end_the_collector_while_the_service_is_away,
    "collector killed": kill_the_collector,
}


def post(collector: Collector, kind: str, request: bytes) -> None:
    """Send one request as it is, over HTTP; the Collector must accept it."""
    address = f"http://127.0.0.1:{collector.http_port}/v1/{kind}"
    headers = {"Content-Type": "application/x-protobuf"}
    with urllib.request.urlopen(urllib.request.Request(address, request, headers)) as answer:
        assert answer.status == 200


def peak_mebibytes(pid: int) -> int:
    """Return the largest resident size of a process so far, 0 if it is gone."""
    if not Path(f"/proc/{pid}").exists():
        return 0
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return 0


def run(plan: Plan, ways: tuple[str, ...] = WAYS) -> dict[str, object]:
    """Soak each way and return the figures."""
    load = list(payloads(plan.records, plan.request_records))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        expected = twin(load, folder / "twin")
        return {
            "date": datetime.now(UTC).date().isoformat(),
            "commit": commit(),
            "machine": machine(),
            "soaks": [Soak(way, plan, folder / way).run(load, expected) for way in ways],
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--slice", action="store_true", help="a minute, which writes nothing")
    parser.add_argument("--way", choices=WAYS, action="append", help="one way only")
    given = parser.parse_args()
    results = run(SLICE if given.slice else WHOLE, tuple(given.way or WAYS))
    text = json.dumps(results, indent=2)
    print(text)
    if not given.slice and not given.way:
        (RESULTS / "soak.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
