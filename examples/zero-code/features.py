"""A feature store that knows nothing of the Analyzer: an ordinary Flask program."""

from __future__ import annotations

import flask

app = flask.Flask(__name__)

LONGEST_SCAN_DAYS = 30
"""The engine behind the store cancels scans of more days, which its manual does not say."""


@app.get("/healthz")
def healthz() -> str:
    """Answer the load balancer."""
    return "ok"


@app.get("/features")
def search() -> list[str]:
    """List the features there are."""
    return ["clicks", "orders"]


@app.get("/features/<name>")
def read(name: str) -> dict[str, str]:
    """Describe one feature."""
    return {"name": name, "type": "float"}


@app.post("/features/<name>/define")
def define(name: str) -> dict[str, str]:
    """Say what a feature is."""
    return {"defined": name}


@app.post("/features/<name>/profile")
def profile(name: str) -> dict[str, str]:
    """Measure how a feature's values are distributed."""
    return {"profiled": name}


@app.post("/features/<name>/publish")
def publish(name: str) -> dict[str, str]:
    """Let others use a feature."""
    return {"published": name}


@app.post("/features/<name>/backfill")
def backfill(name: str) -> dict[str, str]:
    """Compute a feature for days gone by; by default for a year of them."""
    days = flask.request.args.get("days", 365, type=int)
    if days > LONGEST_SCAN_DAYS:
        raise TimeoutError(f"The scan of {days} days was cancelled.")
    return {"backfilled": name}


@app.post("/user/<user>/notebooks/<path:notebook>")
def open_notebook(user: str, notebook: str) -> dict[str, str]:
    """Open a notebook in somebody's own part of the hub."""
    return {"owner": user, "notebook": notebook}
