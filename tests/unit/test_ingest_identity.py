"""Who a record is about, and that no name is kept."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_support import SALT, Reading, attributes, log, logs, span, traces
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from analyzer_service.ingest.attributes import ROUTE_ATTRIBUTES, URL_ATTRIBUTES
from otel_instrumentation.privacy import pseudonym

HASH = "0123456789abcdef" * 2
ALICE = hashlib.sha256(f"{SALT}:alice".encode()).hexdigest()[:32]
NAMES = ("user.id", "enduser.id", "user.name", "user.email", "user.full_name")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"user.hash": HASH}, HASH),
        ({"user.hash": HASH.upper()}, HASH),
        ({"user.hash": HASH, "user.id": "alice"}, HASH),
        ({"user.id": "alice"}, ALICE),
        ({"user.hash": "alice@example.org", "user.id": "alice"}, ALICE),
        ({"user.id": "", "enduser.id": "alice"}, ALICE),
        ({"enduser.id": "alice", "user.id": "bob"}, pseudonym("bob", SALT)),
        ({"http.request.header.x-forwarded-user": ["alice"]}, ALICE),
        ({"http.request.header.x-forwarded-user": "alice"}, ALICE),
        ({"http.request.header.x_forwarded_user": ["alice"]}, ALICE),
        (
            {
                "http.request.header.x-remote-user": ["bob"],
                "http.request.header.x-forwarded-user": ["alice"],
            },
            ALICE,
        ),
        ({"url.path": "/user/bob/lab", "http.route": "/user/alice/lab"}, ALICE),
        ({"http.request.header.x-forwarded-user": ["[alice"]}, pseudonym("[alice", SALT)),
        ({"http.route": "/user/alice/lab"}, ALICE),
        ({"url.path": "/hub/user/alice/api/kernels"}, ALICE),
        ({"http.target": "/user/alice/tree?x=1"}, ALICE),
        ({"http.route": "/user/{name}/lab", "url.path": "/user/alice/lab"}, ALICE),
        ({"http.route": "/user/bob/lab", "enduser.id": "alice"}, ALICE),
        ({"user.id": 42}, pseudonym("42", SALT)),
        ({"user.id": "Ålice \x00"}, pseudonym("Ålice \x00", SALT)),
        ({"http.route": "/users/alice/"}, None),
        ({"user.id": ""}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("kind", ["traces", "logs"])
def test_pseudonym(said, expected, kind):
    request = traces(span(said)) if kind == "traces" else logs(log(said))
    row = Reading(request, kind=kind).row
    found = row["SpanAttributes" if kind == "traces" else "LogAttributes"]
    assert found.get("user.hash") == expected
    assert not set(found) & set(NAMES)
    assert not any(name.startswith("http.request.header.") for name in found)


def test_a_resource_s_user_is_derived_on_the_resource():
    reading = Reading(traces(span(), span(), resource={"user.id": "alice", "service.name": "hub"}))
    for row in reading.rows:
        assert row["ResourceAttributes"] == {"service.name": "hub", "user.hash": ALICE}
        assert row["SpanAttributes"] == {}
        assert row["ServiceName"] == "hub"


def test_a_span_s_own_id_outweighs_its_resource_but_its_route_does_not():
    resource = {"user.hash": HASH}
    own = Reading(traces(span({"user.id": "alice"}), resource=resource)).row
    assert own["SpanAttributes"] == {"user.hash": ALICE}
    route = Reading(traces(span({"http.route": "/user/alice/"}), resource=resource)).row
    assert "user.hash" not in route["SpanAttributes"]


def test_names_are_deleted_everywhere():
    said = dict.fromkeys(NAMES, "alice")
    one = span(said)
    one.events.append(Span.Event(time_unix_nano=1, name="e", attributes=attributes(said)))
    one.links.append(Span.Link(attributes=attributes(said | {"kept": "yes"})))
    reading = Reading(traces(one, resource=said))
    assert "alice" not in str(reading.rows)
    assert reading.row["Links.Attributes"] == [{"kept": "yes"}]
    request = logs(log(said), resource=said)
    request.resource_logs[0].scope_logs[0].scope.attributes.extend(attributes(said))
    assert "alice" not in str(Reading(request, kind="logs").rows)


PATHS = (*ROUTE_ATTRIBUTES, *URL_ATTRIBUTES)


@pytest.mark.parametrize("attribute", PATHS)
@pytest.mark.parametrize(
    ("path", "stored"),
    [
        ("/user/alice/lab", "/user/{user}/lab"),
        ("/hub/user/alice/a/user/bob/?x=1", "/hub/user/{user}/a/user/{user}/?x=1"),
        ("https://hub.example.org/user/alice/api", "https://hub.example.org/user/{user}/api"),
        ("/user/{name}/lab", "/user/{name}/lab"),
        ("/user/<name>/lab", "/user/<name>/lab"),
        ("/users/alice/", "/users/alice/"),
    ],
)
def test_a_path_is_stored_without_the_name_in_it(attribute, path, stored):
    reading = Reading(traces(span({attribute: path, "kept": path})))
    assert reading.row["SpanAttributes"][attribute] == stored
    assert reading.row["SpanAttributes"]["kept"] == path
    logged = Reading(logs(log({attribute: path})), kind="logs")
    assert logged.row["LogAttributes"][attribute] == stored
    # What came from a Collector is masked already, and stays as it is.
    again = Reading(traces(span({attribute: stored, "user.hash": HASH})))
    assert again.row["SpanAttributes"] == {attribute: stored, "user.hash": HASH}


def test_a_span_named_by_its_path_is_stored_without_the_name_in_it():
    reading = Reading(traces(span({}, name="GET /user/alice/lab")))
    assert reading.row["SpanName"] == "GET /user/{user}/lab"
    rejected = Reading(traces(span({}, name="GET /user/alice/lab", span_id=b"")))
    assert "alice" not in rejected.findings.rejections[0].record


def test_a_hash_that_is_none_is_left_out_and_said_without_quoting_it():
    reading = Reading(traces(span({"user.hash": "alice@example.org"})))
    assert reading.row["SpanAttributes"] == {}
    assert "user.hash" in reading.message
    assert "alice" not in reading.message
    assert not reading.reasons


def test_a_rejected_record_is_described_without_names():
    said = dict.fromkeys(NAMES, "alice")
    reading = Reading(traces(span(said, span_id=b"")))
    assert reading.reasons == ["span_id"]
    assert "alice" not in reading.findings.rejections[0].record


@given(st.text(min_size=1))
def test_the_receiver_and_the_library_derive_the_same(user):
    row = Reading(traces(span({"user.id": user}))).row
    assert row["SpanAttributes"] == {"user.hash": pseudonym(user, SALT)}
