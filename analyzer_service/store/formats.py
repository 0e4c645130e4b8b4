"""The engine's formats an answer can be in."""

from __future__ import annotations

from typing import Final

from analyzer_service.errors import QueryFailedError

STREAMED: Final = frozenset(
    {"Native", "RowBinary", "JSONEachRow", "CSV", "TabSeparated", "TabSeparatedRaw"}
)
"""Formats whose blocks simply follow each other, so that a long answer is never held whole."""

WHOLE: Final = frozenset(
    {
        "Arrow", "ArrowStream", "CSVWithNames", "CSVWithNamesAndTypes", "JSON", "JSONColumns",
        "JSONColumnsWithMetadata", "JSONCompact", "JSONCompactColumns", "JSONCompactEachRow",
        "JSONCompactEachRowWithNames", "JSONCompactEachRowWithNamesAndTypes", "JSONCompactStrings",
        "JSONStrings", "JSONStringsEachRow", "Markdown", "Parquet", "Pretty", "PrettyCompact",
        "PrettyCompactMonoBlock", "PrettySpace", "RowBinaryWithNames", "RowBinaryWithNamesAndTypes",
        "TabSeparatedWithNames", "TabSeparatedWithNamesAndTypes", "Values", "Vertical", "XML",
    }
)  # fmt: skip
"""Formats with a head or a tail: answered in one piece, within the limit on bytes."""

BINARY: Final = frozenset(
    {"Arrow", "ArrowStream", "Parquet", "RowBinaryWithNames", "RowBinaryWithNamesAndTypes"}
)
"""Of those held whole, the ones about as large as the values themselves."""

ALIASES: Final = {
    "TSV": "TabSeparated",
    "TSVRaw": "TabSeparatedRaw",
    "TSVWithNames": "TabSeparatedWithNames",
    "TSVWithNamesAndTypes": "TabSeparatedWithNamesAndTypes",
    "NDJSON": "JSONEachRow",
    "JSONLines": "JSONEachRow",
}


def known_format(name: str) -> str:
    """Return a format's own name.

    Raises:
        QueryFailedError: the name is none of a format that answers can have.
    """
    found = ALIASES.get(name, name)
    if found not in STREAMED and found not in WHOLE:
        raise QueryFailedError(
            f"Unknown format {name} for an answer (UNKNOWN_FORMAT).",
            hint=f"Known are: {', '.join(sorted(STREAMED | WHOLE))}.",
        )
    return found
