"""A platform's telemetry from a scenario file, with the truth planted in it.

The worlds prove the plumbing: what was planted must come out again, and nothing else.
"""

from __future__ import annotations

from analyzer_service.simulate.scenario import Scenario
from analyzer_service.simulate.scenario_file import load_scenario, scenario_names
from analyzer_service.simulate.sending import SimulationSummary, simulate
from analyzer_service.simulate.world import World

__all__ = [
    "Scenario",
    "SimulationSummary",
    "World",
    "load_scenario",
    "scenario_names",
    "simulate",
]
