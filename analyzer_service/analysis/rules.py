"""Rule sets: data in YAML, validated, named and versioned.

A rule says which kind of challenge a signal shows when the share of affected users of each segment
lies between limits. A *literal* rule set compares the shares seen with the limits; a *calibrated*
one asks how probable it is that the true shares lie within them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from analyzer_service.domain import ChallengeKind, Grade, Period, Segment, SignalKind
from analyzer_service.errors import RuleSetError
from analyzer_service.located_yaml import LocatedYaml
from analyzer_service.resources import data_folder

SUFFIXES = (".yaml", ".yml")
"""What tells a rule-set file from the name of a shipped one."""
MAX_BYTES = 256 * 1024
"""A hundred times the shipped ones; more is not a rule set."""

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, lt=1)]


class RuleSetKind(StrEnum):
    """How limits are applied."""

    LITERAL = "literal"
    CALIBRATED = "calibrated"


class Denominator(StrEnum):
    """Which users of a segment count."""

    RATED = "rated"
    EXPOSED = "exposed"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(_Strict):
    """Strict limits of one segment's share, in percent."""

    more_than: Percent | None = None
    less_than: Percent | None = None

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if self.more_than is None and self.less_than is None:
            raise ValueError("needs more_than, less_than or both")
        if self.low >= self.high:
            raise ValueError("leaves no share between more_than and less_than")
        return self

    @property
    def low(self) -> Fraction:
        """The share that has to be exceeded, exactly as written."""
        return Fraction(-1) if self.more_than is None else _share(self.more_than)

    @property
    def high(self) -> Fraction:
        """The share that must not be reached, exactly as written."""
        return Fraction(2) if self.less_than is None else _share(self.less_than)


def _share(percent: float) -> Fraction:
    """Read 12.5 as 1/8, not as the nearest binary fraction of what was written."""
    return Fraction(str(percent)) / 100


class Rule(_Strict):
    """One kind of challenge and the limits that show it."""

    rule: str = Field(min_length=1)
    signal: SignalKind
    periods: tuple[Period, ...] = Field(min_length=1)
    kind: ChallengeKind
    clauses: Mapping[Segment, Limits] = Field(min_length=1)

    @model_validator(mode="after")
    def _rated_segments_only(self) -> Self:
        if Segment.UNRATED in self.clauses:
            raise ValueError("cannot have a clause on unrated users")
        return self

    @property
    def thresholds(self) -> dict[str, float]:
        """The limits by name, such as ``expert_less_than_percent``."""
        named = {}
        for segment, limits in self.clauses.items():
            for name, value in (("more", limits.more_than), ("less", limits.less_than)):
                if value is not None:
                    named[f"{segment}_{name}_than_percent"] = value
        return named

    def excludes(self, other: Rule) -> bool:
        """Tell whether no shares satisfy both rules, because of one segment's limits."""
        return any(
            max(limits.low, theirs.low) >= min(limits.high, theirs.high)
            for segment, limits in self.clauses.items()
            if (theirs := other.clauses.get(segment)) is not None
        )


class Grades(_Strict):
    """The probability above which a verdict earns each grade."""

    possible: Probability
    probable: Probability
    confirmed: Probability

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.possible < self.probable < self.confirmed:
            raise ValueError("must rise from possible over probable to confirmed")
        return self

    def grade(self, probability: float) -> Grade:
        """Return the highest grade whose bar is exceeded."""
        for grade, bar in (
            (Grade.CONFIRMED, self.confirmed),
            (Grade.PROBABLE, self.probable),
            (Grade.POSSIBLE, self.possible),
        ):
            if probability > bar:
                return grade
        return Grade.INSUFFICIENT


class Judgement(_Strict):
    """How a calibrated rule set weighs evidence."""

    grades: Grades
    insufficient_above: Probability
    minimum_exposed: int = Field(ge=1)
    inverted_above: Probability
    false_discovery_rate: Probability


class RuleSet(_Strict):
    """A named, versioned set of rules."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")
    version: str = Field(min_length=1, max_length=64)
    kind: RuleSetKind
    denominator: Denominator
    repeats_more_than: int = Field(ge=1)
    """An action is redundant when done more often than this in a period."""
    judgement: Judgement | None = None
    rules: tuple[Rule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if (self.judgement is None) == (self.kind is RuleSetKind.CALIBRATED):
            raise ValueError("a calibrated rule set has a judgement, a literal one has none")
        if self.kind is RuleSetKind.CALIBRATED:
            for one, other in combinations(self.rules, 2):
                if one.signal is other.signal and not one.excludes(other):
                    raise ValueError(
                        f"{one.kind} and {other.kind} of {one.signal} signals overlap: "
                        "calibrated kinds must exclude one another through one segment's limits"
                    )
        return self

    def rules_for(self, kind: SignalKind) -> tuple[Rule, ...]:
        """Return the rules that judge signals of a kind, in the order of the file."""
        return tuple(rule for rule in self.rules if rule.signal is kind)


def shipped_rule_sets() -> tuple[str, ...]:
    """Return the names of the rule sets that come with the Analyzer."""
    return tuple(sorted(path.stem for path in data_folder("rules").glob("*.yaml")))


def load_rule_set(name_or_path: str | Path) -> RuleSet:
    """Read a rule set.

    Args:
        name_or_path: the name of a shipped one, or a YAML file (a path object, or a text that ends
            in .yaml or .yml). A service that takes names from callers checks them against
            ``shipped_rule_sets`` first.

    Returns:
        The validated rule set.

    Raises:
        RuleSetError: names file, line, field and cure.
    """
    path = _locate(name_or_path)
    return parse_rule_set(_read(path), path.name)


def parse_rule_set(text: str, origin: str) -> RuleSet:
    """Read a rule set from its YAML text; errors name ``origin`` as its file.

    Raises:
        RuleSetError: names origin, line, field and cure.
    """
    document = LocatedYaml(
        text,
        origin or "rule set",
        refusal=RuleSetError,
        hint="Compare it with the shipped rule sets.",
    )
    try:
        return RuleSet.model_validate(document.value)
    except ValidationError as errors:
        first = errors.errors(include_url=False, include_context=False, include_input=False)[0]
        problem = f"cannot be used: {first['msg'].removeprefix('Value error, ')}."
        raise document.error(first["loc"], problem, _cure(first["type"], first["loc"])) from None


def _locate(name_or_path: str | Path) -> Path:
    if isinstance(name_or_path, Path) or name_or_path.endswith(SUFFIXES):
        return Path(name_or_path)
    known = shipped_rule_sets()
    if name_or_path in known:
        return data_folder("rules") / f"{name_or_path}.yaml"
    raise RuleSetError(
        f"There is no rule set {name_or_path!r}.",
        hint=f"Use one of: {', '.join(known)}; or the path of a .yaml file.",
        field="rule_set",
    )


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RuleSetError(
                f"{path.name} is larger than {MAX_BYTES} bytes.", hint="Is it a rule set?"
            )
        return path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise RuleSetError(
            f"Cannot read the rule set {path.name}: {reason}.",
            hint="Check the path.",
            field="rule_set",
        ) from None
    except UnicodeDecodeError:
        raise RuleSetError(f"{path.name} is not UTF-8 text.", hint="Save it as UTF-8.") from None


def _cure(error_type: str, location: tuple[int | str, ...]) -> str:
    field = location[-1] if location else "it"
    if error_type == "extra_forbidden":
        return f"Remove {field!r} or correct its name."
    if error_type == "missing":
        return f"Add {field!r}."
    return "Compare it with the shipped rule sets."
