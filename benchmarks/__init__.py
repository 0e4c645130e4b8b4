"""Measurements as ratios against a reference of the same run, because machines are noisy."""
