"""The scenario's platform as arrays: what a vectorised generator looks up by number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyzer_service.simulate.paper_rules import RULES
from analyzer_service.simulate.scenario import Decoy, Planted, Scenario

NO_BACKEND: Final = -1
NO_ERROR: Final = -1


@dataclass(frozen=True, slots=True)
class Component:
    """A component or backend."""

    stage: str
    name: str
    service: str
    screens: tuple[str, ...]
    widgets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Action:
    """A key action."""

    name: str
    component: int
    backend: int
    """Number of the backend it calls, or NO_BACKEND."""
    core: bool
    seconds: float
    weight: float


@dataclass(frozen=True, slots=True)
class ErrorSignal:
    """An error type at the component in which it starts."""

    component: int
    error_type: str
    limit: str = ""


@dataclass(frozen=True, slots=True)
class PlantedSignal:
    """A challenge or decoy, resolved to numbers."""

    spec: Planted
    action: int
    error: int
    """Number of its error signal, or NO_ERROR for a redundancy."""

    @property
    def redundancy(self) -> bool:
        """Whether it is about repeated actions."""
        return RULES[self.spec.rule].redundancy

    @property
    def decoy(self) -> bool:
        """Whether nothing may be reported of it."""
        return isinstance(self.spec, Decoy)


class Catalogue:
    """Components, actions, error signals and planted signals of one scenario, numbered."""

    def __init__(self, scenario: Scenario) -> None:
        self.components: list[Component] = []
        self.actions: list[Action] = []
        self.errors: list[ErrorSignal] = []
        self._numbers: dict[tuple[str, str], int] = {}
        self._add_components(scenario)
        self._add_actions(scenario)
        self.background = len(self.errors)
        """Error signals with a smaller number just happen; the others are planted."""
        self.planted = [self._plant(item) for item in scenario.planted]
        self.error_component = np.array([e.component for e in self.errors], dtype=np.int64)
        self.action_component = np.array([a.component for a in self.actions], dtype=np.int64)
        self.action_backend = np.array([a.backend for a in self.actions], dtype=np.int64)
        self.action_seconds = np.array([a.seconds for a in self.actions])
        self.action_weight = np.array([a.weight for a in self.actions])
        self.core = np.array([a.core for a in self.actions], dtype=np.bool_)

    def _add_components(self, scenario: Scenario) -> None:
        self._rates: list[float] = []
        for stage, components in scenario.stages.items():
            for name, spec in components.items():
                number = len(self.components)
                self._numbers[stage, name] = number
                self.components.append(
                    Component(stage, name, spec.service, spec.screens, spec.widgets)
                )
                for error_type, rate in spec.errors.items():
                    self.errors.append(ErrorSignal(number, error_type))
                    self._rates.append(rate)

    def _add_actions(self, scenario: Scenario) -> None:
        for stage, components in scenario.stages.items():
            for component, spec in components.items():
                for name, action in spec.actions.items():
                    calls = action.calls
                    backend = self._numbers[stage, calls] if calls else NO_BACKEND
                    number = self._numbers[stage, component]
                    self.actions.append(
                        Action(name, number, backend, action.core, action.seconds, action.weight)
                    )

    def _plant(self, item: Planted) -> PlantedSignal:
        stage, component, name = item.path
        home = self._numbers[stage, component]
        action = next(
            i for i, a in enumerate(self.actions) if a.name == name and a.component == home
        )
        if item.error is None:
            return PlantedSignal(item, action, NO_ERROR)
        where = self._numbers[stage, item.at] if item.at else home
        self.errors.append(ErrorSignal(where, item.error, item.limit or ""))
        return PlantedSignal(item, action, len(self.errors) - 1)

    def background_table(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return, per action, cumulated failure rates per attempt and the error signals they mean.

        Rows are padded with the last rate, so that a search never lands on the padding.
        """
        per_action = [
            [
                e
                for e in range(self.background)
                if self.errors[e].component in {a.component, a.backend}
            ]
            for a in self.actions
        ]
        width = max((len(errors) for errors in per_action), default=0) or 1
        rates = np.zeros((len(self.actions), width))
        numbers = np.full((len(self.actions), width), NO_ERROR, dtype=np.int64)
        for row, errors in enumerate(per_action):
            rates[row, : len(errors)] = [self._rates[e] for e in errors]
            numbers[row, : len(errors)] = errors
        return np.cumsum(rates, axis=1), numbers
