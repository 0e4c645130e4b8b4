"""What the fields of a scenario owe each other; pydantic has seen each of them alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from analyzer_service.located_yaml import Location
from analyzer_service.simulate.paper_rules import RULES
from analyzer_service.simulate.scenario import (
    ActionSpec,
    Decoy,
    NearMisses,
    Planted,
    Scenario,
    SegmentRanges,
    check_start,
)
from otel_instrumentation import semconv

Problem = tuple[Location, str]

SAFE_DISTANCE: Final = 0.045
"""A planted share stays about five points from its threshold: a few misjudged users of 85 must
not turn a verdict."""

NEAREST_MISS: Final = 0.03
FARTHEST_MISS: Final = 0.10
"""A decoy is near enough to tempt and far enough that a few misjudged users do not matter."""

_ROUNDING: Final = 1e-9


def problems(scenario: Scenario) -> Iterator[Problem]:
    """Yield every contradiction with the place in the file it belongs to."""
    if wrong := check_start(scenario.start):
        yield ("start",), wrong
    for stage in scenario.stages:
        if stage not in semconv.STAGES:
            yield ("stages", stage), f"is no stage; known are {', '.join(semconv.STAGES)}"
    yield from _calls(scenario)
    yield from _ranges(scenario)
    seen: dict[tuple[str, str, str], str] = _background_signals(scenario)
    for name, planted in (("challenges", scenario.challenges), ("decoys", scenario.decoys)):
        for index, item in enumerate(planted):
            yield from _planted(scenario, (name, index), item, seen)


def _calls(scenario: Scenario) -> Iterator[Problem]:
    for stage, components in scenario.stages.items():
        for component, spec in components.items():
            for action, details in spec.actions.items():
                target = details.calls
                if target and (target not in components or not components[target].backend):
                    where = ("stages", stage, component, "actions", action, "calls")
                    yield where, f"{target} is no backend of {stage}; declare it there"


def _background_signals(scenario: Scenario) -> dict[tuple[str, str, str], str]:
    return {
        (stage, component, error): "the component's own errors"
        for stage, components in scenario.stages.items()
        for component, spec in components.items()
        for error in spec.errors
    }


def _ranges(scenario: Scenario) -> Iterator[Problem]:
    for rule, planted in RULES.items():
        if rule not in scenario.affected:
            yield ("affected",), f"rule {rule} has no ranges; add `{rule}:`"
        else:
            yield from _safe(("affected", rule), rule, scenario.affected[rule])
        if rule not in scenario.near_misses:
            yield ("near_misses",), f"rule {rule} has no ranges; add `{rule}:`"
            continue
        misses: NearMisses = scenario.near_misses[rule]
        for segment, clause in planted.clauses.items():
            where = ("near_misses", rule, segment.value)
            bounds = getattr(misses, segment.value)
            if bounds is None:
                yield where, f"rule {rule} has a clause for {segment.value}s; give its range"
                continue
            missed_by = [-clause.distance(share) for share in bounds]
            if min(missed_by) < NEAREST_MISS - _ROUNDING or max(missed_by) > FARTHEST_MISS:
                yield where, f"a near miss of {clause.threshold} lies 0.03 to 0.10 beyond it"


def _safe(where: Location, rule: int, ranges: SegmentRanges) -> Iterator[Problem]:
    for segment, clause in RULES[rule].clauses.items():
        for share in getattr(ranges, segment.value):
            if clause.distance(share) < SAFE_DISTANCE:
                side = "above" if clause.above else "below"
                yield (
                    (*where, segment.value),
                    f"{share} is not safely {side} {clause.threshold}, as rule {rule} needs; "
                    f"keep {SAFE_DISTANCE} away from it",
                )


def _planted(
    scenario: Scenario, where: Location, item: Planted, seen: dict[tuple[str, str, str], str]
) -> Iterator[Problem]:
    stage, component, action = item.path
    spec = scenario.stages.get(stage, {}).get(component)
    if spec is None or action not in spec.actions:
        yield (*where, "action"), f"{item.action} is not among the stages; declare it there"
        return
    if not spec.actions[action].core:
        yield (*where, "action"), f"{item.action} must be `core: true`, done by every rated user"
    yield from _error(where, item, spec.actions[action])
    if item.affected:
        yield from _safe((*where, "affected"), item.rule, item.affected)
    if isinstance(item, Decoy) and item.misses not in RULES[item.rule].clauses:
        yield (*where, "misses"), f"rule {item.rule} has no clause for {item.misses.value}s"
    signal = (stage, item.at or component, item.error or f"repeated {action}")
    if signal in seen:
        yield where, f"{'/'.join(signal)} is also in {seen[signal]}; each signal occurs once"
    seen[signal] = f"{where[0]}[{where[1]}]"


def _error(where: Location, item: Planted, action: ActionSpec) -> Iterator[Problem]:
    if RULES[item.rule].redundancy:
        for field in ("error", "at", "limit"):
            if getattr(item, field) is not None:
                yield (*where, field), f"rule {item.rule} is about repeated actions; remove {field}"
    elif item.error is None:
        yield where, f"rule {item.rule} is about an error; add `error:`"
    if item.at is not None and item.at != action.calls:
        yield (*where, "at"), f"{item.action} does not call {item.at}; set its `calls:`"
