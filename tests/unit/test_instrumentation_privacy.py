"""Pseudonyms and digests: the same everywhere, raising for nothing."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import hashlib
import pathlib
import subprocess
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_instrumentation import _canonical
from otel_instrumentation.privacy import digest, is_pseudonym, pseudonym

KEY = "a secret of the operator"

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_pseudonym_is_the_documented_formula():
    expected = hashlib.sha256(b"salt:ann@example.org").hexdigest()[:32]
    assert pseudonym("ann@example.org", "salt") == expected
    assert is_pseudonym(expected)


def test_pseudonym_hashes_the_bytes_of_a_name_that_was_not_utf8():
    name = b"j\xfcrgen"
    expected = hashlib.sha256(b"salt:" + name).hexdigest()[:32]
    assert pseudonym(name.decode("utf-8", "surrogateescape"), "salt") == expected


@given(st.text(alphabet=st.characters(exclude_categories=())), st.text())
def test_pseudonym_takes_any_text(user_id, salt):
    assert is_pseudonym(pseudonym(user_id, salt))


def test_pseudonyms_differ_by_user_and_by_salt():
    made = {pseudonym(user, salt) for user in ("ann", "bob", "Ann") for salt in ("a", "b")}
    assert len(made) == 6


@pytest.mark.parametrize(
    "value", ["", "ann", "A" * 32, "g" * 32, "a" * 31, "a" * 33, None, 7, b"a" * 32]
)
def test_other_values_are_no_pseudonyms(value):
    assert not is_pseudonym(value)


def test_digest_is_keyed_and_has_16_hex_digits():
    assert len(digest({"a": 1}, KEY)) == 16
    assert int(digest({"a": 1}, KEY), 16) >= 0
    assert digest({"a": 1}, KEY) != digest({"a": 1}, "another key")
    assert digest({"a": 1}, KEY) != digest({"a": 1}, "")


def test_digest_ignores_the_order_of_mappings_and_sets_and_the_class_of_sequences():
    assert digest({"a": 1, "b": [1, {2, 3}]}, KEY) == digest({"b": (1, {3, 2}), "a": 1}, KEY)
    ordered = collections.OrderedDict([("b", 2), ("a", 1)])
    assert digest(ordered, KEY) == digest({"a": 1, "b": 2}, KEY)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (1, "1"),
        ("a", b"a"),
        (None, "None"),
        ([], {}),
        (["ab"], ["a", "b"]),
        ([[1], 2], [[1, 2]]),
        ({"a": None}, {}),
        (0.0, -0.0),
        ([1, 2], [2, 1]),
    ],
)
def test_different_arguments_have_different_digests(one, other):
    assert digest(one, KEY) != digest(other, KEY)


@given(values)
def test_digest_of_a_value_is_that_of_its_copy(value):
    assert digest(value, KEY) == digest(_reordered(value), KEY)


def _reordered(value):
    if isinstance(value, dict):
        return {key: _reordered(value[key]) for key in reversed(value)}
    if isinstance(value, list):
        return tuple(_reordered(item) for item in value)
    return value


def test_digest_reads_well_known_scalars_by_value():
    class Colour(enum.Enum):
        RED = 1
        BLUE = 2

    @dataclasses.dataclass
    class Spec:
        gpus: int

    for one, other in [
        (dt.date(2026, 1, 5), dt.date(2026, 1, 6)),
        (decimal.Decimal("1.0"), decimal.Decimal("1.00")),
        (uuid.UUID(int=1), uuid.UUID(int=2)),
        (pathlib.PurePosixPath("a/b"), pathlib.PurePosixPath("a/c")),
        (Colour.RED, Colour.BLUE),
        (Spec(1), Spec(2)),
    ]:
        assert digest(one, KEY) == digest(one, KEY)
        assert digest(one, KEY) != digest(other, KEY)


def test_digest_never_uses_the_text_of_unknown_objects():
    class Credentials:
        def __init__(self, secret):
            self.secret = secret

        def __repr__(self):
            raise AssertionError("repr was used")

        __str__ = __repr__

    assert digest(Credentials("a"), KEY) == digest(Credentials("b"), KEY)
    assert digest([Credentials("a")], KEY) != digest([object()], KEY)


def test_digest_reads_numpy_scalars_like_numbers_without_importing_numpy():
    numpy = pytest.importorskip("numpy")
    assert digest({"lr": numpy.float64(0.1), "n": numpy.int64(3)}, KEY) == digest(
        {"lr": 0.1, "n": 3}, KEY
    )


def test_digest_ends_for_values_that_hold_themselves_and_for_large_ones():
    loop: list[object] = []
    loop.append(loop)
    assert digest(loop, KEY)
    doubled: object = 0
    for _ in range(60):
        doubled = [doubled, doubled]
    assert digest(doubled, KEY)
    large = {f"k{number}": number for number in range(_canonical.MAX_VALUES)}
    assert digest(large, KEY) == digest(dict(reversed(large.items())), KEY)


def test_digest_survives_containers_that_fail():
    class Failing(dict[str, int]):
        def __getitem__(self, key):
            raise RuntimeError(key)

        def __len__(self):
            raise RuntimeError

    assert digest(Failing(a=1), KEY) == digest(Failing(b=2), KEY)


def test_digest_is_the_same_in_processes_with_other_hash_seeds():
    program = (
        "from otel_instrumentation import digest;"
        f"print(digest({{'s': {{'a', 'b', 'c'}}, 'x': 0.1, 'y': ['z', None]}}, {KEY!r}))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert printed == {digest({"y": ("z", None), "x": 0.1, "s": {"c", "b", "a"}}, KEY) + "\n"}


def test_digest_of_a_known_value_does_not_change_between_versions():
    # A changed digest makes every repeat look new on the day of an upgrade.
    arguments = {"lr": 0.1, "layers": [1, 2], "name": "resnet", "tags": {"a"}, "none": None}
    assert digest(arguments, KEY) == "5cc3985c2d908f28"
