"""SQL texts: cutting a file into statements, and the named queries.

The cutter knows just enough of the language to tell a semicolon that ends a statement from one
inside a string, a quoted name, a comment or a heredoc. Joining what it returns gives the text back
but for what lies between statements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from analyzer_service import resources
from analyzer_service.errors import StoreError

_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<line_comment>--[^\n]*|\#[ !][^\n]*)
    | (?P<block_comment>/\*)
    | '(?:[^'\\]|\\.|'')*'
    | "(?:[^"\\]|\\.|"")*"
    | `(?:[^`\\]|\\.|``)*`
    | (?P<heredoc>\$\w*\$)
    | (?P<end>;)
    | [A-Za-z0-9_][A-Za-z0-9_$]*
    | .
    """,
    re.X | re.S,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_NAME = re.compile(r"^--[ \t]*name:[ \t]*(\S+)[ \t]*$", re.M)

STATEMENTS_REMEMBERED = 512
"""Texts whose cut is remembered: more than the service has queries."""


def split_statements(text: str) -> list[str]:
    """Cut a text at the semicolons that end statements.

    Comments stay with the statement they stand in or before; a piece without any statement (only
    space and comments) is left out. Block comments nest. Something left open (a string, a comment)
    runs to the end of the text, which the engine then reports.
    """
    return [piece.strip() for piece, has_code in _pieces(text) if has_code]


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    start, has_code = 0, False
    for kind, begin, end in _lexemes(text):
        if kind == "end":
            yield text[start:begin], has_code
            start, has_code = end, False
        elif kind in (None, "heredoc"):
            has_code = True
    yield text[start:], has_code


def _lexemes(text: str) -> Iterator[tuple[str | None, int, int]]:
    """Cut a text completely: the kind of each piece (None for plain code) and where it lies."""
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match is not None  # noqa: S101 - the last alternative takes any character
        kind, begin, position = match.lastgroup, position, match.end()
        if kind == "block_comment":
            position = _comment_end(text, position)
        elif kind == "heredoc":
            closing = text.find(match.group(), position)
            position = len(text) if closing < 0 else closing + len(match.group())
        elif kind is None and match.group() in ("'", '"', "`"):
            position = len(text)  # a quote that is never closed
        yield kind, begin, position


@dataclass(frozen=True, slots=True)
class Token:
    """One word, string, number or sign of a statement."""

    text: str
    start: int
    end: int
    depth: int
    """How many parentheses are open around it; a parenthesis counts as outside of itself."""

    @property
    def word(self) -> str:
        """The text in upper case, as keywords are compared."""
        return self.text.upper()


def code_tokens(text: str) -> list[Token]:
    """Return the tokens of a statement, without space and comments."""
    tokens = []
    depth = 0
    for kind, start, end in _lexemes(text):
        if kind not in (None, "heredoc"):
            continue
        piece = text[start:end]
        depth -= piece == ")"
        tokens.append(Token(piece, start, end, depth))
        depth += piece == "("
    return tokens


def _comment_end(text: str, position: int) -> int:
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(text, position)
        if edge is None:
            return len(text)
        depth += 1 if edge.group() == "/*" else -1
        position = edge.end()
    return position


@lru_cache(maxsize=STATEMENTS_REMEMBERED)
def single_statement(text: str) -> str:
    """Return the one statement of a text, without a closing semicolon.

    Raises:
        StoreError: it holds none or several; the embedded engine would run them all.
    """
    statements = split_statements(text)
    if len(statements) != 1:
        raise StoreError(f"One statement is run at a time; this text holds {len(statements)}.")
    return statements[0]


def parse_queries(text: str, *, origin: str) -> dict[str, str]:
    """Read the named queries of one file.

    Raises:
        StoreError: a query holds no or several statements, or a name comes twice.
    """
    found: dict[str, str] = {}
    headers = list(_NAME.finditer(text))
    for header, following in zip(headers, [*headers[1:], None], strict=True):
        name = header.group(1)
        statements = split_statements(text[header.end() : following.start() if following else None])
        if len(statements) != 1 or name in found:
            raise StoreError(
                f"The query {name} in {origin} must be there once and be one statement."
            )
        found[name] = statements[0]
    return found


class _Queries(Mapping[str, str]):
    """The named queries of a folder, read when first asked for."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._texts: dict[str, str] | None = None

    def _load(self) -> dict[str, str]:
        if self._texts is None:
            texts: dict[str, str] = {}
            for path in sorted((self._folder or resources.sql_folder() / "queries").glob("*.sql")):
                found = parse_queries(path.read_text(encoding="utf-8"), origin=path.name)
                twice = texts.keys() & found.keys()
                if twice:
                    raise StoreError(f"Queries named twice: {', '.join(sorted(twice))}.")
                texts.update(found)
            self._texts = texts
        return self._texts

    def __getitem__(self, name: str) -> str:
        return self._load()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())


queries: Mapping[str, str] = _Queries()
"""The named queries of ``clickhouse/queries/*.sql`` by name."""
