"""Children of multiprocessing, started and ending in every way, and those of a pool."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys

import otel_instrumentation as mlp

ENDS = ("return", "exit", "exception", "terminated")


def child(end: str) -> None:
    work(end)
    match end:
        case "exit":
            sys.exit(3)
        case "exception":
            sys.stderr.close()
            raise LookupError("the end")
        case "terminated":
            os.kill(os.getpid(), signal.SIGTERM)


def work(_: str) -> None:
    with mlp.user("ann"), mlp.session("s1"):
        for number in range(5):
            with mlp.operation("work"):
                mlp.action("said", arguments=number)


if __name__ == "__main__":
    work("the parent, before")
    context = multiprocessing.get_context(sys.argv[1])
    processes = [context.Process(target=child, args=(end,)) for end in ENDS]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    ended = [process.exitcode for process in processes]
    assert ended == [0, 3, 1, -signal.SIGTERM], ended
    with context.Pool(2) as pool:
        pool.map(work, ("pool", "pool"))
