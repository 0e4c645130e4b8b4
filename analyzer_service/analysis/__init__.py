"""Pure functions from what users did to segments, verdicts and ranked challenges.

Nothing here reads a store, a clock or a network; what comes in and goes out are the values of
``analyzer_service.domain``. The method is told in ``docs/concepts.md``.
"""
