"""The same settled signals give the same canonical JSON: threads, zones and orders do not show."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from programs import Program, Service

from analyzer_service.otlp.sender import OtlpSender
from analyzer_service.simulate import World, load_scenario

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SEED = 11


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A store filled in a shuffled order, its service gone."""
    folder = Program(tmp_path_factory.mktemp("same"))
    batches = list(World(load_scenario("paper-2020"), seed=SEED).batches())
    random.Random(5).shuffle(batches)
    with Service(folder) as service, OtlpSender(service.otlp) as sender:
        for kind, request, records in batches:
            send = sender.send_traces if kind == "traces" else sender.send_logs
            send(request, records=records)
        sender.drain()
    return folder


@pytest.fixture(scope="module")
def reference(program: Program) -> dict[str, str]:
    return {rules: report(program, rules) for rules in ("paper", "calibrated")}


def report(program: Program, rules: str) -> str:
    program.run("analyze", "--rules", rules, "--store", program.store)
    return program.run("report", "--store", program.store, "--json")


@pytest.mark.parametrize("rules", ["paper", "calibrated"])
@pytest.mark.parametrize(
    "variables",
    [
        {"MLP_ANALYZER_ENGINE_THREADS": "1"},
        {"MLP_ANALYZER_ENGINE_THREADS": "8"},
        {"MLP_ANALYZER_ENGINE_THREADS": "8", "TZ": "Asia/Tokyo", "OMP_NUM_THREADS": "2"},
    ],
    ids=["1 thread", "8 threads", "8 threads in Tokyo"],
)
def test_report_is_the_same(
    program: Program, reference: dict[str, str], variables: dict[str, str], rules: str
) -> None:
    elsewhere = replace(program, variables=variables)
    # Settled anew under these variables, too.
    elsewhere.run("migrate", "--store", program.store)
    assert report(elsewhere, rules) == reference[rules]


def test_the_report_holds_all_23(reference: dict[str, str]) -> None:
    assert '"challenges_total":23' in reference["paper"]
