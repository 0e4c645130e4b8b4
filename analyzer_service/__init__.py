"""The Analyzer service."""
