"""What the parameters of a request's URL mean: options of the transport, or engine settings.

ClickHouse takes every setting there. Here a setting is applied, known to make no difference, or
refused by its name: none is dropped silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from analyzer_service.endpoint.errors import EndpointError
from analyzer_service.store.gate import QueryLimits

TRANSPORT: Final = frozenset(
    {
        "add_http_cors_header", "buffer_size", "client_protocol_version", "close_session",
        "compress", "database", "decompress", "default_format", "enable_http_compression",
        "http_zlib_compression_level", "network_compression_method",
        "network_zstd_compression_level", "password", "query", "query_id", "quota_key",
        "session_check", "session_id", "session_timeout", "stacktrace", "user",
        "wait_end_of_query",
    }
)  # fmt: skip
"""Options of the transport. Sessions hold nothing here (no SET, no temporary tables), so their
options are taken and make no difference; nor does the size of the answer's buffer."""

WITHOUT_EFFECT: Final = frozenset(
    {
        # An insert here is always synchronous, which is what waiting for it promises.
        "async_insert", "wait_for_async_insert", "async_insert_busy_timeout_ms",
        "async_insert_max_data_size",
        # Always on.
        "insert_deduplicate", "deduplicate_blocks_in_dependent_materialized_views",
        "allow_experimental_analyzer",
        # A query whose client has gone is always ended.
        "cancel_http_readonly_queries_on_client_close",
        # There are no progress headers to send.
        "send_progress_in_http_headers", "http_headers_progress_interval_ms",
        # About conversions of inserted columns that no table here has.
        "cast_string_to_dynamic_use_inference", "enable_json_type", "allow_experimental_json_type",
        # Hints to the engine's speed, which the service decides.
        "max_block_size", "max_threads", "max_insert_threads", "max_insert_block_size",
        "min_insert_block_size_rows", "min_insert_block_size_bytes", "use_query_cache",
        # Every query runs with the strictest.
        "readonly",
        # Sent by JDBC and ClickHouse's own clients; the answers hold no exceptions in their data.
        "http_write_exception_in_output_format", "result_overflow_mode", "timeout_overflow_mode",
        "http_response_buffer_size", "log_comment", "log_queries", "send_timeout",
        "receive_timeout", "connect_timeout", "http_receive_timeout", "http_send_timeout",
    }
)  # fmt: skip
"""Settings that are taken and change nothing, for the reason beside each group."""

QUERY_SETTINGS: Final = frozenset(
    {
        "date_time_output_format", "date_time_input_format", "extremes", "format_csv_delimiter",
        "format_binary_max_string_size", "join_use_nulls", "limit", "offset",
        "output_format_arrow_compression_method",
        "output_format_arrow_low_cardinality_as_dictionary",
        "output_format_arrow_string_as_string",
        "output_format_csv_crlf_end_of_line",
        "output_format_decimal_trailing_zeros",
        "output_format_json_array_of_rows",
        "output_format_json_escape_forward_slashes",
        "output_format_json_named_tuples_as_objects",
        "output_format_json_quote_64bit_floats", "output_format_json_quote_64bit_integers",
        "output_format_json_quote_decimals", "output_format_json_quote_denormals",
        "output_format_parquet_compression_method", "output_format_parquet_string_as_string",
        "output_format_pretty_color", "output_format_pretty_max_rows",
        "output_format_tsv_crlf_end_of_line",
    }
)  # fmt: skip
"""Settings of how an answer is written, which do no harm to anybody else."""

INSERT_SETTINGS: Final = frozenset(
    {
        "date_time_input_format", "format_csv_delimiter", "input_format_allow_errors_num",
        "input_format_csv_empty_as_default", "input_format_null_as_default",
        "input_format_skip_unknown_fields", "input_format_with_names_use_header",
        "input_format_with_types_use_header", "insert_deduplication_token",
    }
)  # fmt: skip
"""Settings of how inserted data is read."""

_LIMITS: Final[Mapping[str, Callable[[QueryLimits, float], QueryLimits]]] = {
    "max_execution_time": lambda limits, value: replace(limits, seconds=min(limits.seconds, value)),
    "max_memory_usage": lambda limits, value: replace(
        limits, memory_bytes=min(limits.memory_bytes, int(value))
    ),
    "max_result_rows": lambda limits, value: replace(
        limits, result_rows=min(limits.result_rows, int(value))
    ),
    "max_result_bytes": lambda limits, value: replace(
        limits, result_bytes=min(limits.result_bytes, int(value))
    ),
}
"""Settings a client may use to ask for less than the service's own limits."""

_PARAMETER: Final = "param_"
_VALUE = re.compile(r"[\w .,:;|/+\t-]{0,200}")


@dataclass(frozen=True, slots=True)
class Options:
    """The parameters of a request."""

    transport: Mapping[str, str]
    parameters: Mapping[str, str]
    """Values of the query's own ``{name:Type}`` parameters."""
    settings: Mapping[str, str]

    def flag(self, name: str) -> bool:
        """Say whether an option of the transport is on."""
        return self.transport.get(name, "0").lower() in ("1", "true")

    def query_settings(self) -> dict[str, str]:
        """Return the settings of a query."""
        return self._known(QUERY_SETTINGS)

    def insert_settings(self) -> dict[str, str]:
        """Return the settings of an insert."""
        return self._known(INSERT_SETTINGS)

    def limits(self, limits: QueryLimits) -> QueryLimits:
        """Return the limits of a query: the service's, or less where the client wants less."""
        for name, change in _LIMITS.items():
            value = self.settings.get(name)
            if value is None:
                continue
            try:
                number = float(value)
            except ValueError:
                raise EndpointError("BAD_ARGUMENTS", f"{name} must be a number") from None
            # Zero means no limit to the engine, that is: no more than the service's.
            if number > 0:
                limits = change(limits, number)
        return limits

    def _known(self, names: frozenset[str]) -> dict[str, str]:
        return {name: value for name, value in self.settings.items() if name in names}


def sort_options(parameters: Mapping[str, str]) -> Options:
    """Sort the parameters of a request.

    Raises:
        EndpointError: one is neither an option nor a setting that is known.
    """
    transport: dict[str, str] = {}
    values: dict[str, str] = {}
    settings: dict[str, str] = {}
    for name, value in parameters.items():
        if name in TRANSPORT:
            transport[name] = value
        elif name.startswith(_PARAMETER):
            values[name.removeprefix(_PARAMETER)] = value
        elif name in QUERY_SETTINGS or name in INSERT_SETTINGS or name in _LIMITS:
            if not _VALUE.fullmatch(value):
                raise EndpointError("BAD_ARGUMENTS", f"The value of {name} cannot be used")
            settings[name] = value
        elif name not in WITHOUT_EFFECT:
            raise EndpointError(
                "UNKNOWN_SETTING",
                f"The setting {name[:80]!r} is neither supported nor known to make no difference",
            )
    return Options(transport, values, settings)
