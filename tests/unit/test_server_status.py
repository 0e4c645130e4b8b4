from __future__ import annotations

import logging
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from analyzer_service import errors
from analyzer_service.server.outcomes import outcome_of
from analyzer_service.server.status import DOMAIN, LONGEST_TEXT, status_of


def every_class(kind: type[errors.AnalyzerError] = errors.AnalyzerError) -> list[type]:
    children = [
        child for child in kind.__subclasses__() if child.__module__.startswith("analyzer_service")
    ]
    return [kind, *(found for child in children for found in every_class(child))]


def details(status: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for packed in status.details:
        for kind in (
            error_details_pb2.ErrorInfo,
            error_details_pb2.BadRequest,
            error_details_pb2.LocalizedMessage,
        ):
            message = kind()
            if packed.Unpack(message):
                found[kind.__name__] = message
    return found


@pytest.mark.parametrize("kind", every_class())
def test_every_error_has_a_status_with_its_reason(kind: type[errors.AnalyzerError]) -> None:
    error = kind("What went wrong.", hint="What to do.", field="some_field")
    status = status_of(error)
    found = details(status)
    info = found["ErrorInfo"]
    assert status.code == grpc.StatusCode[outcome_of(error)[0]].value[0]
    assert (info.reason, info.domain) == (kind.reason, DOMAIN)
    if status.code != grpc.StatusCode.INTERNAL.value[0]:
        violation = found["BadRequest"].field_violations[0]
        assert (violation.field, violation.description) == ("some_field", "What went wrong.")
        assert found["LocalizedMessage"].message == "What to do."


@pytest.mark.parametrize("kind", every_class())
def test_every_error_has_its_own_row_and_reason(kind: type[errors.AnalyzerError]) -> None:
    assert kind in errors.OUTCOMES
    assert [other for other in every_class() if other.reason == kind.reason] == [kind]


@pytest.mark.parametrize(
    "error", [ValueError("SELECT secret"), errors.StoreError("SELECT secret", hint="SELECT secret")]
)
def test_the_services_own_fault_leaves_only_an_id(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        status = status_of(error)
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert b"secret" not in status.SerializeToString()
    incident = status.message.rpartition("Incident ")[2].rstrip(".")
    assert len(incident) == 12
    assert incident in caplog.text
    assert "secret" in caplog.text


def test_a_long_message_is_cut_to_what_headers_carry() -> None:
    status = status_of(errors.QueryFailedError("x" * 50_000, hint="y" * 50_000))
    assert len(status.message) == LONGEST_TEXT
    assert status.ByteSize() < 4096


def test_a_class_below_a_known_one_takes_its_outcome() -> None:
    class Deeper(errors.NotFoundError):
        """Deeper."""

    assert outcome_of(Deeper()) == errors.OUTCOMES[errors.NotFoundError]
