"""Verdicts judged where the truth is known: planted worlds, and real attempt counts."""
