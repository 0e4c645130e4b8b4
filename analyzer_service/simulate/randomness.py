"""One seed, many independent streams: a change in one part of a world leaves the others alone."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, purpose: str, number: int = 0) -> np.random.Generator:
    """Return the random numbers of one purpose (and day); equal arguments give equal numbers."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(purpose.encode()), number]))
