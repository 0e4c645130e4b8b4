"""A Celery program: the worker learns from the message whom a task is for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from celery import Celery

import otel_instrumentation as mlp

FOLDER = Path(os.environ["QUEUE_FOLDER"])

app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": str(FOLDER),
    "data_folder_out": str(FOLDER),
    "control_folder": str(FOLDER / "control"),
}
app.conf.task_ignore_result = True


@app.task
def train(number: int) -> None:
    with mlp.operation("work", component="trainer", target=number):
        mlp.action("said")


if __name__ == "__main__":
    with mlp.user("ann"), mlp.session("s1"), mlp.stage("model_training"):
        for number in range(int(sys.argv[1])):
            train.delay(number)
