"""Ask a gRPC health service whether it serves: exit code 0 if so. For the image's health check."""

from __future__ import annotations

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SECONDS = 3
"""Below the health check's own limit, so that the reason is said."""


def main() -> None:
    """Check the address given as the only argument."""
    with grpc.insecure_channel(sys.argv[1]) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        try:
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        except grpc.RpcError as error:
            sys.exit(f"not serving: {error.code().name}")
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        sys.exit("not serving")


if __name__ == "__main__":
    main()
