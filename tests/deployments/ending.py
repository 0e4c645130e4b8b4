"""A plain program that ends right after its last event, in the way it is told."""

from __future__ import annotations

import os
import signal
import sys

import otel_instrumentation as mlp

mlp.configure(stage="model_training", component="jobs")

with mlp.user("ann"), mlp.session("s1"):
    for number in range(20):
        with mlp.operation("work"):
            mlp.action("said", arguments=number)

match sys.argv[1]:
    case "exit":
        sys.exit(3)
    case "exception":
        raise LookupError("the end")
    case "terminated":
        os.kill(os.getpid(), signal.SIGTERM)
