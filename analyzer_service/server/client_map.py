"""The signal map of an Analyzer behind gRPC."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from analyzer_service import signal_map as sm
from analyzer_service.api.v1 import analyzer_pb2 as pb
from analyzer_service.api.v1 import analyzer_pb2_grpc as pb_grpc
from analyzer_service.server import convert_map as convert
from analyzer_service.server.wire import time_to_proto


class RemoteSignalMap:
    """Satisfies ``SignalMapInterface`` by calling a service."""

    def __init__(
        self,
        stub: pb_grpc.AnalyzerServiceStub,
        *,
        call: Callable[[Any, Any], Any],
        errors: Callable[[], AbstractContextManager[None]],
        metadata: tuple[tuple[str, str], ...],
    ) -> None:
        """Use a client's connection.

        Args:
            stub: The methods of the service.
            call: Sends one message to a method and returns its answer.
            errors: Turns statuses into errors of ours.
            metadata: What goes with every call.
        """
        self._stub = stub
        self._call = call
        self._errors = errors
        self._metadata = metadata

    def listing(self) -> sm.MapListing:
        """Return the map in force."""
        return convert.listing_from_proto(
            self._call(self._stub.GetSignalMap, pb.GetSignalMapRequest())
        )

    def judge(self, names: Sequence[sm.SignalName]) -> tuple[sm.MapVerdict, ...]:
        """Return what the map makes of some names."""
        message = pb.TestSignalMapRequest(names=[convert.name_to_proto(name) for name in names])
        answer = self._call(self._stub.TestSignalMap, message)
        return tuple(convert.verdict_from_proto(verdict) for verdict in answer.verdicts)

    def add(self, rules_yaml: str, *, source: str = "", dry_run: bool = False) -> sm.MapChange:
        """Put rules in force, all or none."""
        message = pb.AddSignalMapRulesRequest(rules_yaml=rules_yaml, source=source, dry_run=dry_run)
        return convert.change_from_proto(self._call(self._stub.AddSignalMapRules, message).change)

    def remove(self, rule_id: int, *, dry_run: bool = False) -> sm.MapChange:
        """Take a rule out of force."""
        message = pb.RemoveSignalMapRuleRequest(rule_id=rule_id, dry_run=dry_run)
        return convert.change_from_proto(self._call(self._stub.RemoveSignalMapRule, message).change)

    def restore(self, rule_id: int, *, dry_run: bool = False) -> sm.MapChange:
        """Put a shipped rule back that was removed or replaced."""
        message = pb.RestoreSignalMapRuleRequest(rule_id=rule_id, dry_run=dry_run)
        return convert.change_from_proto(
            self._call(self._stub.RestoreSignalMapRule, message).change
        )

    def derive(
        self, *, window_start: datetime | None = None, window_end: datetime | None = None
    ) -> Iterator[sm.Derivation]:
        """Derive signals of a window of arrival again and yield how far it is."""
        message = pb.DeriveSignalsRequest(
            window_start_time=time_to_proto(window_start),
            window_end_time=time_to_proto(window_end),
        )
        with self._errors():
            for state in self._stub.DeriveSignals(message, metadata=self._metadata):
                yield convert.derivation_from_proto(state.derivation)

    def unmapped(
        self,
        *,
        window_start: datetime | None = None,
        window_end: datetime | None = None,
        limit: int = 50,
        inner_spans: bool = False,
    ) -> tuple[sm.UnmappedName, ...]:
        """Return the most frequent names without a stage, of what arrived in a window."""
        message = pb.ListUnmappedNamesRequest(
            window_start_time=time_to_proto(window_start),
            window_end_time=time_to_proto(window_end),
            limit=limit,
            inner_spans=inner_spans,
        )
        answer = self._call(self._stub.ListUnmappedNames, message)
        return tuple(convert.unmapped_from_proto(name) for name in answer.names)
