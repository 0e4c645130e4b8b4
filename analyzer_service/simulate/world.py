"""A scenario with a seed and a first day: its telemetry, and the truth behind it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from analyzer_service.domain import RATED_SEGMENTS
from analyzer_service.errors import ScenarioError
from analyzer_service.simulate.day import DayMaker
from analyzer_service.simulate.encoding import Batch, encode_day
from analyzer_service.simulate.paper_rules import RULES
from analyzer_service.simulate.plan import make_plan
from analyzer_service.simulate.planting import Affected
from analyzer_service.simulate.scenario import Scenario, check_start
from analyzer_service.simulate.templates import Templates

LARGEST_SEED: Final = 2**63 - 1


class World:
    """Everything that happens on a simulated platform, decided by scenario, seed and start.

    The same three give the same bytes; another seed gives other people, another truth and other
    events. Planning a world takes a moment; its telemetry is made day by day while it is read.

    Args:
        scenario: From :func:`load_scenario`.
        seed: Instead of the scenario's.
        start: First instant, midnight in UTC, instead of the scenario's.

    Raises:
        ScenarioError: The seed is negative or too large, or the start no midnight in UTC.
    """

    def __init__(
        self, scenario: Scenario, seed: int | None = None, start: datetime | None = None
    ) -> None:
        self.scenario = scenario
        self.seed = scenario.seed if seed is None else seed
        first = scenario.start if start is None else start
        if not 0 <= self.seed <= LARGEST_SEED:
            raise ScenarioError(
                f"The seed {self.seed} cannot be used.",
                hint=f"Choose a whole number from 0 to {LARGEST_SEED}.",
                field="seed",
            )
        if wrong := check_start(first):
            raise ScenarioError(f"The {wrong}.", field="start")
        self._plan = make_plan(scenario, self.seed, first.astimezone(UTC))
        self._maker = DayMaker(self._plan)
        self._templates = Templates(self._plan.catalogue, self._plan.people)

    @property
    def days(self) -> int:
        """How many days there are."""
        return self._plan.calendar.days

    def truth(self) -> dict[str, object]:
        """Return what an analysis should find, ready for JSON.

        Returns:
            ``scenario``, ``seed``, ``window`` (``start``, ``end``), ``challenges`` (each with
            ``kind``, ``stage``, ``component``, ``signal``, ``rule`` and the pseudonyms
            ``affected``) and ``users``: the segment of every rated user by pseudonym.
        """
        users = {
            self._plan.people.hashes[user]: RATED_SEGMENTS[self._plan.people.segment[user]].value
            for user in self._plan.people.rated
        }
        return {
            "scenario": self.scenario.name,
            "seed": self.seed,
            "window": {
                "start": f"{self._plan.calendar.start:%Y-%m-%dT%H:%M:%SZ}",
                "end": f"{self._plan.calendar.end:%Y-%m-%dT%H:%M:%SZ}",
            },
            "challenges": [
                self._describe(item) for item in self._plan.affected if not item.signal.decoy
            ],
            "users": dict(sorted(users.items())),
        }

    def decoys(self) -> list[dict[str, object]]:
        """Return the signals that miss one clause, described as the truth's challenges are."""
        return [self._describe(item) for item in self._plan.affected if item.signal.decoy]

    def batches(self) -> Iterator[Batch]:
        """Yield OTLP requests in order of time: (``traces`` or ``logs``, bytes, records)."""
        for number in range(self.days):
            yield from self.day(number)

    def day(self, number: int) -> Iterator[Batch]:
        """Yield the requests of one day, the same ones whichever days were made before."""
        yield from encode_day(self._plan, self._templates, self._maker.make(number))

    def _describe(self, item: Affected) -> dict[str, object]:
        signal = item.signal
        action = self._plan.catalogue.actions[signal.action]
        error = None if signal.redundancy else self._plan.catalogue.errors[signal.error]
        home = self._plan.catalogue.components[error.component if error else action.component]
        return {
            "kind": RULES[signal.spec.rule].kind.value,
            "stage": home.stage,
            "component": home.name,
            "signal": error.error_type if error else action.name,
            "rule": signal.spec.rule,
            "affected": sorted(self._plan.people.hashes[user] for user in item.users),
        }
