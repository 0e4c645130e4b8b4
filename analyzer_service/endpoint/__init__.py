"""The ClickHouse-compatible HTTP endpoint over the embedded engine."""

from analyzer_service.endpoint.endpoint import Endpoint
from analyzer_service.endpoint.settings import EndpointSettings

__all__ = ["Endpoint", "EndpointSettings"]
