"""An interface to jobs and models that knows nothing of the Analyzer: ordinary FastAPI."""

from __future__ import annotations

import os

import requests
from fastapi import FastAPI
from trainer import train

FEATURES = os.environ.get("FEATURES_URL", "http://127.0.0.1:8001")
"""Where the feature store is."""
PATIENCE_SECONDS = 10

app = FastAPI()


@app.get("/healthz")
def healthz() -> str:
    """Answer the load balancer."""
    return "ok"


@app.post("/jobs")
def submit(feature: str, batch_size: int = 32) -> dict[str, str]:
    """Look a feature up in the feature store, then hand the job to a worker."""
    found = requests.get(f"{FEATURES}/features/{feature}", timeout=PATIENCE_SECONDS)
    found.raise_for_status()
    return {"id": train.delay(feature, batch_size).id}


@app.post("/models/{name}/register")
def register(name: str) -> dict[str, str]:
    """Keep a trained model."""
    return {"registered": name}


@app.post("/models/{name}/deploy")
def deploy(name: str) -> dict[str, str]:
    """Answer requests with a model."""
    return {"deployed": name}


@app.post("/models/{name}/canary")
def start_canary(name: str) -> dict[str, str]:
    """Answer a part of the requests with a model, which this platform cannot do yet."""
    raise NotImplementedError(f"No traffic split for {name}.")
