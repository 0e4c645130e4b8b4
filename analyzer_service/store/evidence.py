"""The query that reproduces a verdict, as plain text anybody may run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final

from analyzer_service.domain import Period, SignalCounts, SignalKind, Window
from analyzer_service.store.statements import queries
from analyzer_service.store.values import instant

_PARAMETER: Final = re.compile(r"\{(\w+):([^{}]+)\}")


def evidence_query(
    fired: SignalCounts, window: Window, *, analysis_id: str, known_at: datetime, limit: int
) -> str:
    """Return the SELECT that counts k of n per segment again, as known at ``known_at``.

    It counts over all rated users; a verdict about exposed users keeps both counts in its evidence.
    """
    common: dict[str, object] = {
        "analysis_id": analysis_id,
        "known_at": known_at,
        "stage": fired.signal.stage,
        "component": fired.signal.component,
        "signal": fired.signal.signal,
    }
    if fired.signal.kind is SignalKind.ERROR:
        days = {"first_day": window.start.date(), "end_day": window.end.date()}
        return inline(queries["evidence_error"], {**common, **days})
    start = max(fired.period_start, window.start)
    end = min(_period_end(fired), window.end)
    period = {"period_start": start, "period_end": end, "limit": limit}
    return inline(queries["evidence_redundancy"], {**common, **period})


def inline(sql: str, parameters: Mapping[str, object]) -> str:
    """Write bound parameters into a query as literals, and leave out what introduces it."""
    bare = "\n".join(line for line in sql.splitlines() if not line.startswith("--"))
    return _PARAMETER.sub(lambda found: _literal(parameters[found.group(1)]), bare)


def _literal(value: object) -> str:
    if isinstance(value, datetime):
        return f"toDateTime64('{instant(value)}', 3, 'UTC')"
    if isinstance(value, date):
        return f"toDate('{value.isoformat()}')"
    if isinstance(value, int):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"


def _period_end(fired: SignalCounts) -> datetime:
    start = fired.period_start
    if fired.period is Period.WEEK:
        return start + timedelta(days=7)
    # The 28th plus four days lies in the next month, whatever the month.
    return (start.replace(day=28) + timedelta(days=4)).replace(day=1)
