"""Segments judged where every user's skill is known."""
