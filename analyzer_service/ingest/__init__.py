"""The embedded OTLP receiver: OTLP over gRPC and HTTP in, the exporter's rows out.

Follow a request from :mod:`.grpc_server` or :mod:`.http_server` through :mod:`.pipeline`
(one request), :mod:`.payload` (down to its records), :mod:`.spans` and :mod:`.logs` (a record
becomes a row) to :mod:`.commit` (many requests become one insert).
"""

from analyzer_service.ingest.commit import RawSink
from analyzer_service.ingest.receiver import Receiver
from analyzer_service.ingest.settings import IngestSettings
from analyzer_service.ingest.statistics import IngestStatistics, SignalStatistics

__all__ = ["IngestSettings", "IngestStatistics", "RawSink", "Receiver", "SignalStatistics"]
