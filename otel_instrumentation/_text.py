"""Texts that an exporter can always encode."""

from __future__ import annotations


def clean(text: str) -> str:
    r"""Returns a text that is valid UTF-8; lone surrogates become ``\udcff`` in letters.

    One string that cannot be encoded would cost the exporter its whole batch.
    """
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def name_of(value: object) -> str:
    """Returns the text of a name or id given by a caller, empty for None."""
    if value is None:
        return ""
    return clean(value if isinstance(value, str) else str(value))


def qualified_name(kind: type) -> str:
    """Returns the name of a class with its module, without it for built-in classes."""
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
