"""Everything about a world that is decided before its first day is made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from analyzer_service.simulate.attendance import Attendance, attend
from analyzer_service.simulate.calendar_weeks import Calendar
from analyzer_service.simulate.catalogue import Catalogue
from analyzer_service.simulate.planting import (
    Affected,
    SpecialEvents,
    choose_affected,
    special_events,
)
from analyzer_service.simulate.population import People, populate
from analyzer_service.simulate.scenario import Scenario
from analyzer_service.simulate.visitors import Visits, visit


@dataclass(frozen=True, slots=True)
class Plan:
    """Who there is, who comes when, who is affected by what; a few numbers per user and day."""

    scenario: Scenario
    seed: int
    calendar: Calendar
    catalogue: Catalogue
    people: People
    attendance: Attendance
    affected: list[Affected]
    special: SpecialEvents
    visits: Visits


def make_plan(scenario: Scenario, seed: int, start: datetime) -> Plan:
    """Plan a world; ``start`` is a midnight in UTC."""
    calendar = Calendar(start, scenario.days)
    catalogue = Catalogue(scenario)
    people = populate(scenario, catalogue, seed)
    attendance = attend(scenario, people, calendar, seed)
    weeks = attendance.repeat_weeks
    affected = choose_affected(scenario, catalogue, people, weeks, seed)
    return Plan(
        scenario=scenario,
        seed=seed,
        calendar=calendar,
        catalogue=catalogue,
        people=people,
        attendance=attendance,
        affected=affected,
        special=special_events(people, attendance, calendar, affected, seed),
        visits=visit(scenario, people, calendar, seed),
    )
