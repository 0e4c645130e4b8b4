"""Attribute values as text, as the Collector writes them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_support import value

from analyzer_service.ingest.findings import Findings
from analyzer_service.ingest.values import MAX_NESTING, as_text, double_text


def text(content: object) -> str:
    return as_text(value(content).SerializeToString(), Findings()).decode()


def test_a_text_is_cut_between_characters_and_that_is_said() -> None:
    findings = Findings()
    encoded = value("aé𝕌").SerializeToString()
    cut = [as_text(encoded, findings, longest=longest).decode() for longest in range(8)]
    assert cut == ["", "a", "a", "aé", "aé", "aé", "aé", "aé𝕌"]
    assert findings.warned == 7
    assert as_text(value(["aé𝕌"]).SerializeToString(), findings, longest=1).decode() == '["aé𝕌"]'


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a <b> & ü", "a <b> & ü"),
        ("", ""),
        (None, ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-1, "-1"),
        (2**63 - 1, "9223372036854775807"),
        (-(2**63), "-9223372036854775808"),
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (0.1, "0.1"),
        (1e-6, "0.000001"),
        (9.9e-7, "9.9e-7"),
        (1e-7, "1e-7"),
        (1.5e-10, "1.5e-10"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-1.7976931348623157e308, "-1.7976931348623157e+308"),
        (5e-324, "5e-324"),
        (math.nan, "json: unsupported value: NaN"),
        (math.inf, "json: unsupported value: +Inf"),
        (-math.inf, "json: unsupported value: -Inf"),
        (b"", ""),
        (b"\x00\xff", "AP8="),
        ([], "[]"),
        ({}, "{}"),
        (["<&>", '"\\', "\n\r\t\b\f\x01\x7f", "\u2028"],
         '["<&>","\\"\\\\","\\n\\r\\t\\b\\f\\u0001\x7f","\\u2028"]'),
        ({"b": 1, "a": [True, None, 2.5, b"\x00", b""]}, '{"a":[true,null,2.5,"AA==",null],"b":1}'),
        ([math.nan, 1e-7], '["NaN",1e-7]'),
        ({"ü": {"x": {}}}, '{"ü":{"x":{}}}'),
    ],
)  # fmt: skip
def test_text(content, expected):
    assert text(content) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_are_the_shortest_that_read_back(number):
    written = double_text(number)
    assert float(written) == number
    if number and 1e-6 <= abs(number) < 1e21:
        assert written == np.format_float_positional(number, unique=True, trim="-")
        assert "e" not in written


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(json_values, max_size=4) | st.dictionaries(st.text(), json_values, max_size=4))
def test_structures_read_back_as_json(content):
    written = text(content)
    assert json.loads(written) == content
    if isinstance(content, dict):
        assert list(json.loads(written)) == sorted(content)


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"k": inner}])
def test_nesting_is_cut_and_said(wrap):
    kept: object = "leaf"
    for _ in range(MAX_NESTING):
        kept = wrap(kept)
    findings = Findings()
    assert "leaf" in as_text(value(kept).SerializeToString(), findings).decode()
    assert not findings.message()
    # Serialised by hand: the generated classes refuse to nest 100 deep.
    deep = value(wrap(kept)).SerializeToString()
    cut = as_text(deep, findings).decode()
    assert "leaf" not in cut
    assert "…" in cut
    assert str(MAX_NESTING) in findings.message()
    json.loads(cut)


def test_the_last_of_several_kinds_counts():
    both = value("first").SerializeToString() + value(7).SerializeToString()
    assert as_text(both, Findings()) == b"7"
