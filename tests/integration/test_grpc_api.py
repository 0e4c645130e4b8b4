from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_service import DEFAULTS, Served, served
from memory_analyzer import BEGINNER, EXPERT, SIGNAL, MemoryAnalyzer, analysis, challenge

from analyzer_service.api.v1 import analyzer_pb2 as pb
from analyzer_service.api.v1 import analyzer_pb2_grpc as pb_grpc
from analyzer_service.domain import AnalysisRequest, AnalysisStatus, ChallengeKind, Grade, Segment
from analyzer_service.errors import (
    AnalyzerError,
    BusyError,
    InvalidInputError,
    NotFoundError,
    PageTokenError,
    QueryFailedError,
    SettingsError,
    UnavailableError,
)
from analyzer_service.server.client import RemoteAnalyzer
from analyzer_service.server.grpc_server import GrpcServer


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("state")) as found:
        yield found


@pytest.fixture
def client(service: Served) -> Iterator[RemoteAnalyzer]:
    vars(service.analyzer).update(vars(MemoryAnalyzer()))  # every test starts from fresh answers
    with service.client() as found:
        yield found


def test_what_comes_over_the_wire_is_what_the_analyzer_says(client: RemoteAnalyzer) -> None:
    local = MemoryAnalyzer()
    assert client.get_analysis("") == local.get_analysis("")
    assert client.status() == local.status()
    assert client.report() == local.report()
    assert client.list_segments() == local.list_segments()
    assert client.get_user(EXPERT) == local.get_user(EXPERT)
    assert client.get_challenge("ch-1") == local.get_challenge("ch-1")
    assert client.list_challenge_signals("ch-1", page_size=2, page_token="").items == (SIGNAL,) * 2


def test_an_analysis_is_started_and_watched_to_its_end(
    service: Served, client: RemoteAnalyzer
) -> None:
    request = AnalysisRequest(
        rule_set="paper",
        rule_set_yaml="name: mine",
        preset="calibrated",
        window_start=datetime(2026, 1, 5, tzinfo=UTC),
        window_end=datetime(2026, 2, 2, tzinfo=UTC),
    )
    started = client.start(request)
    states = list(client.watch(started.analysis_id))
    assert service.analyzer.requests == [request]
    assert started.status is AnalysisStatus.PENDING
    assert [state.phase for state in states] == ["settling", "rules", ""]
    assert states[-1].status is AnalysisStatus.SUCCEEDED


def test_an_open_request_takes_the_services_defaults(
    service: Served, client: RemoteAnalyzer
) -> None:
    client.start(AnalysisRequest(rule_set="", preset=""))
    assert service.analyzer.requests == [DEFAULTS]


def test_filters_and_pages_reach_the_analyzer(client: RemoteAnalyzer) -> None:
    ask = {"kind": None, "stage": "", "grade": None, "page_token": ""}
    first = client.list_challenges(**{**ask, "page_size": 1})
    second = client.list_challenges(**{**ask, "page_size": 1, "page_token": first.next_token})
    assert [item.challenge_id for item in first.items + second.items] == ["ch-1", "ch-2"]
    assert (first.total, second.next_token) == (2, "")
    sop = client.list_challenges(
        **{**ask, "page_size": 9, "kind": ChallengeKind.SIMPLICITY_OF_PLATFORM}
    )
    assert [item.challenge_id for item in sop.items] == ["ch-2"]
    staged = client.list_challenges(**{**ask, "page_size": 9, "stage": "model_training"})
    assert [item.challenge_id for item in staged.items] == ["ch-1"]
    assert client.list_challenges(**{**ask, "page_size": 9, "grade": Grade.CONFIRMED}).items == ()
    beginners = client.list_users(segment=Segment.BEGINNER, page_size=0, page_token="")
    assert [item.segment.user for item in beginners.items] == [BEGINNER]
    assert client.list_analyses(page_size=1, page_token="1").items == (
        analysis(analysis_id="an-0"),
    )


def test_the_first_message_of_a_query_has_the_columns(service: Served) -> None:
    with grpc.insecure_channel(service.address) as channel:
        stub = pb_grpc.AnalyzerServiceStub(channel)
        metadata = (("authorization", f"Bearer {service.tokens.operator}"),)
        messages = list(stub.Query(pb.QueryRequest(sql="SELECT 1"), metadata=metadata))
    assert [column.name for column in messages[0].columns] == ["stage", "n"]
    assert not messages[0].json_rows
    assert not any(message.columns for message in messages[1:])
    assert [len(message.json_rows) for message in messages[1:]] == [500, 500, 234]


def test_rows_come_in_order_and_the_limit_is_the_services(
    service: Served, client: RemoteAnalyzer
) -> None:
    answer = client.query("SELECT 1", max_rows=10**6)
    rows = list(answer)
    assert (len(rows), rows[0], rows[-1]) == (1234, '["s0", 0]', '["s1233", 1233]')
    list(client.query("SELECT 2", max_rows=7))
    list(client.query("SELECT 3", max_rows=0))
    assert service.analyzer.sqls == [("SELECT 1", 1000), ("SELECT 2", 7), ("SELECT 3", 1000)]
    assert list(client.query("empty", max_rows=1)) == []


def test_a_query_that_breaks_half_way_says_so(client: RemoteAnalyzer) -> None:
    rows = iter(client.query("half", max_rows=0))
    assert next(rows) == '["a", 1]'
    with pytest.raises(QueryFailedError, match="half-way"):
        list(rows)


def test_errors_come_back_with_class_message_hint_and_field(
    service: Served, client: RemoteAnalyzer
) -> None:
    with pytest.raises(NotFoundError) as missing:
        client.get_analysis("nope")
    assert missing.value.message == "There is no analysis nope."
    assert (missing.value.hint, missing.value.field) == ("List them.", "analysis_id")
    with pytest.raises(InvalidInputError, match="negative") as negative:
        client.list_analyses(page_size=-1, page_token="")
    assert negative.value.field == "page_size"
    with pytest.raises(PageTokenError):
        client.list_analyses(page_size=1, page_token="foreign")
    with pytest.raises(InvalidInputError) as rows:
        client.query("SELECT 1", max_rows=-1)
    assert rows.value.field == "max_rows"
    service.analyzer.busy = True
    with pytest.raises(BusyError, match="One is running"):
        client.start(AnalysisRequest())


def test_an_unknown_number_of_an_enum_is_refused(service: Served) -> None:
    with grpc.insecure_channel(service.address) as channel:
        stub = pb_grpc.AnalyzerServiceStub(channel)
        request = pb.ListChallengesRequest()
        request.kind = 42
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListChallenges(
                request, metadata=(("authorization", f"Bearer {service.tokens.reader}"),)
            )
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_unexpected_failure_leaves_only_an_id(service: Served, client: RemoteAnalyzer) -> None:
    service.analyzer.raises = RuntimeError("SELECT secret FROM users")
    with pytest.raises(AnalyzerError, match=r"Incident [0-9a-f]{12}") as caught:
        client.status()
    assert "secret" not in str(caught.value)


def test_nobody_answering_is_said_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with RemoteAnalyzer(address) as client, pytest.raises(UnavailableError) as caught:
            client.status()
    assert address in caught.value.message
    assert "mlp-analyzer serve" in caught.value.hint


def test_a_taken_port_is_said_and_not_shared(service: Served) -> None:
    port = int(service.address.rpartition(":")[2])
    second = GrpcServer(MemoryAnalyzer(), port=port, tokens=None)
    with pytest.raises(SettingsError, match="taken") as caught:
        second.start()
    second.stop()
    assert caught.value.field == "grpc_port"


def test_health_and_reflection_are_open(service: Served) -> None:
    name = "analyzer_service.api.v1.AnalyzerService"
    with grpc.insecure_channel(service.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for checked in ("", name):
            answer = health.Check(health_pb2.HealthCheckRequest(service=checked))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert name in ProtoReflectionDescriptorDatabase(channel).get_services()


def test_a_stopped_server_no_longer_answers(tmp_path: Path) -> None:
    with served(tmp_path) as found, found.client() as client:
        assert client.get_challenge("ch-1") == challenge(
            1, ChallengeKind.EDUCATION_TRAINING, "model_training"
        )
    with found.client() as client, pytest.raises(UnavailableError):
        client.status()


def test_the_python_of_the_docs_runs(
    service: Served, client: RemoteAnalyzer, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]
    assert '"127.0.0.1:50051"' in code
    code = code.replace("127.0.0.1:50051", service.address)
    exec(code, {"token": service.tokens.operator})  # noqa: S102 - our own documentation
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["expert 1", "beginner 1", '["s0", 0]']
