"""YAML whose mistakes are named by file, line and field."""

from __future__ import annotations

import pytest

from analyzer_service.errors import MappingError
from analyzer_service.located_yaml import LocatedYaml


def read(text: str | bytes, *, texts_only: bool = False) -> LocatedYaml:
    return LocatedYaml(text, "x.yaml", refusal=MappingError, hint="Help.", texts_only=texts_only)


def test_lines_of_fields_and_of_what_is_missing() -> None:
    document = read("a:\n  b: 1\n  c:\n    - x\n    - y: 2\n7: seven\n")
    assert document.value == {"a": {"b": 1, "c": ["x", {"y": 2}]}, 7: "seven"}
    assert [document.line(p) for p in (("a",), ("a", "b"), ("a", "c", 1, "y"), (7,))] == [
        1,
        2,
        5,
        6,
    ]
    assert document.line(("a", "c", 1, "missing", "deeper")) == 5
    assert document.line(("nowhere",)) == 1


def test_texts_only_leaves_scalars_as_written() -> None:
    assert read("a: No\nb: 007\n", texts_only=True).value == {"a": "No", "b": "007"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\n", "x.yaml, line 2: is not YAML"),
        ("- a\n", "x.yaml, line 1: is not a mapping"),
        ("", "x.yaml, line 1: is not a mapping"),
        ("a: 1\nb: 2\na: 3\n", "x.yaml, line 3: field a stands there twice"),
        ("a: &x 1\nb: *x\n", "x.yaml, line 2: uses the alias"),
        (b"a: \xff\n", "x.yaml is not UTF-8"),
        ("a: \x07\n", "x.yaml, line 1: is not YAML this program can read"),
    ],
)
def test_mistakes_are_named(text: str | bytes, said: str) -> None:
    with pytest.raises(MappingError) as caught:
        read(text)
    assert caught.value.message.startswith(said)
    assert caught.value.hint
