"""Identifiers stay unique in programs that seed the random module or fork."""

from __future__ import annotations

import random
import subprocess
import sys

from otel_instrumentation import _identifiers
from otel_instrumentation.testing import capture


def test_seeding_the_program_does_not_repeat_identifiers():
    made = set()
    for _ in range(3):
        random.seed(42)
        made |= {_identifiers.hex_id(), _identifiers.trace_id(), _identifiers.span_id()}
    assert len(made) == 9


def test_seeding_the_program_does_not_repeat_spans():
    from otel_instrumentation import click, operation

    with capture() as telemetry:
        for _ in range(2):
            random.seed(42)
            with operation("train"):
                click("stop")
    assert len({span.trace_id for span in telemetry.spans}) == 2
    assert len({record.attributes["log.record.uid"] for record in telemetry.records}) == 2


def test_forked_child_makes_identifiers_of_its_own():
    # In a process of its own: forking this one, with its threads, is not safe.
    program = """
import os
from otel_instrumentation import _identifiers
child = os.fork()
os.write(1, f"{_identifiers.hex_id()}\\n".encode())  # one write: the lines must not mix
if child:
    os.waitpid(child, 0)
else:
    os._exit(0)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert len(set(run.stdout.split())) == 2, run.stdout


def test_identifiers_have_their_form():
    assert len(_identifiers.hex_id()) == 32
    assert 0 < _identifiers.trace_id() < 2**128
    assert 0 < _identifiers.span_id() < 2**64
