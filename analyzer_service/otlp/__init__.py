"""Telemetry on its way out: OTLP records as wire bytes, and a sender that loses none of them."""

from __future__ import annotations
