"""The gRPC methods of the signal map."""

# ruff: noqa: ARG002, N802 - the names and parameters are those of the .proto file.
from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import grpc

from analyzer_service.api.v1 import analyzer_pb2 as pb
from analyzer_service.api.v1 import analyzer_pb2_grpc as pb_grpc
from analyzer_service.server import convert_map as convert
from analyzer_service.server.interface import AnalyzerInterface
from analyzer_service.server.wire import time_from_proto

UNMAPPED_BY_DEFAULT: Final = 50
"""As many as other lists give by default."""


class MapServicer(pb_grpc.AnalyzerServiceServicer):
    """The part of AnalyzerService that is about the signal map."""

    _analyzer: AnalyzerInterface

    def GetSignalMap(
        self, request: pb.GetSignalMapRequest, context: grpc.ServicerContext
    ) -> pb.GetSignalMapResponse:
        """Return the map in force."""
        return convert.listing_to_proto(self._analyzer.signal_map.listing())

    def TestSignalMap(
        self, request: pb.TestSignalMapRequest, context: grpc.ServicerContext
    ) -> pb.TestSignalMapResponse:
        """Return what the map makes of some names."""
        names = [convert.name_from_proto(name) for name in request.names]
        verdicts = self._analyzer.signal_map.judge(names)
        return pb.TestSignalMapResponse(
            verdicts=[convert.verdict_to_proto(verdict) for verdict in verdicts]
        )

    def AddSignalMapRules(
        self, request: pb.AddSignalMapRulesRequest, context: grpc.ServicerContext
    ) -> pb.AddSignalMapRulesResponse:
        """Put rules in force."""
        change = self._analyzer.signal_map.add(
            request.rules_yaml, source=request.source, dry_run=request.dry_run
        )
        return pb.AddSignalMapRulesResponse(change=convert.change_to_proto(change))

    def RemoveSignalMapRule(
        self, request: pb.RemoveSignalMapRuleRequest, context: grpc.ServicerContext
    ) -> pb.RemoveSignalMapRuleResponse:
        """Take a rule out of force."""
        change = self._analyzer.signal_map.remove(request.rule_id, dry_run=request.dry_run)
        return pb.RemoveSignalMapRuleResponse(change=convert.change_to_proto(change))

    def RestoreSignalMapRule(
        self, request: pb.RestoreSignalMapRuleRequest, context: grpc.ServicerContext
    ) -> pb.RestoreSignalMapRuleResponse:
        """Put a shipped rule back."""
        change = self._analyzer.signal_map.restore(request.rule_id, dry_run=request.dry_run)
        return pb.RestoreSignalMapRuleResponse(change=convert.change_to_proto(change))

    def DeriveSignals(
        self, request: pb.DeriveSignalsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.DeriveSignalsResponse]:
        """Send how far deriving again is."""
        states = self._analyzer.signal_map.derive(
            window_start=time_from_proto(request, "window_start_time"),
            window_end=time_from_proto(request, "window_end_time"),
        )
        for state in states:
            yield pb.DeriveSignalsResponse(derivation=convert.derivation_to_proto(state))

    def ListUnmappedNames(
        self, request: pb.ListUnmappedNamesRequest, context: grpc.ServicerContext
    ) -> pb.ListUnmappedNamesResponse:
        """Return names without a stage."""
        found = self._analyzer.signal_map.unmapped(
            window_start=time_from_proto(request, "window_start_time"),
            window_end=time_from_proto(request, "window_end_time"),
            limit=request.limit or UNMAPPED_BY_DEFAULT,
            inner_spans=request.inner_spans,
        )
        return pb.ListUnmappedNamesResponse(
            names=[convert.unmapped_to_proto(name) for name in found]
        )
