"""A worker that trains models and knows nothing of the Analyzer: an ordinary Celery program."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from celery import Celery

QUEUE = Path(os.environ.get("QUEUE_FOLDER", Path(tempfile.gettempdir()) / "zero-code-queue"))
"""Folder of Celery's file broker, which needs no server and is for examples only."""

LARGEST_BATCH = 256
"""Rows that fit into a worker's memory."""


class BatchTooLarge(ValueError):  # noqa: N818 - the worker's own word
    """The batch does not fit into a worker's memory."""


for folder in ("messages", "control"):
    (QUEUE / folder).mkdir(parents=True, exist_ok=True)

app = Celery("trainer", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(QUEUE / "messages"),
        "data_folder_out": str(QUEUE / "messages"),
        "control_folder": str(QUEUE / "control"),
        "polling_interval": 0.01,
    },
    task_ignore_result=True,
)


@app.task(name="trainer.train")
def train(feature: str, batch_size: int) -> str:
    """Train a model; whoever asks for too large a batch gets nothing."""
    if batch_size > LARGEST_BATCH:
        raise BatchTooLarge(f"A batch of {batch_size} rows does not fit.")
    return f"model of {feature}"
