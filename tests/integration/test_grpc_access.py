from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_service import Served, served
from memory_analyzer import EXPERT

from analyzer_service.api.v1 import analyzer_pb2 as pb
from analyzer_service.api.v1 import analyzer_pb2_grpc as pb_grpc
from analyzer_service.errors import AuthenticationError, RoleError, UnavailableError
from analyzer_service.server.access import AUDITED, METHOD_ROLES
from analyzer_service.server.client import RemoteAnalyzer
from analyzer_service.server.grpc_server import GrpcServer, TlsFiles
from analyzer_service.server.tokens import Role

METHODS = list(pb.DESCRIPTOR.services_by_name["AnalyzerService"].methods)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("state")) as found:
        yield found


def call(service: Served, method: Any, *metadata: tuple[str, str]) -> grpc.StatusCode:
    request = getattr(pb, method.input_type.name)()
    if method.name in {"GetUser"}:
        request.user = EXPERT
    if method.name in {"GetChallenge", "GetLife", "ListChallengeSignals", "ReviewChallenge"}:
        request.challenge_id = "ch-1"
    if method.name == "ReviewChallenge":
        request.kind = pb.REVIEW_KIND_CONFIRM
    with grpc.insecure_channel(service.address) as channel:
        stub = getattr(pb_grpc.AnalyzerServiceStub(channel), method.name)
        try:
            answer = stub(request, metadata=metadata)
            if method.server_streaming:
                list(answer)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


def bearer(token: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {token}")


def test_every_method_has_a_role() -> None:
    assert set(METHOD_ROLES) == {method.name for method in METHODS}
    assert set(AUDITED) <= set(METHOD_ROLES)
    assert all(METHOD_ROLES[name] is Role.OPERATOR for name in AUDITED)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_roles_decide_who_may_call(service: Served, method: Any) -> None:
    for role in Role:
        may = role is Role.OPERATOR or (
            role is Role.READER and METHOD_ROLES[method.name] is Role.READER
        )
        expected = grpc.StatusCode.OK if may else grpc.StatusCode.PERMISSION_DENIED
        assert call(service, method, bearer(getattr(service.tokens, role))) is expected, role


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_without_a_valid_token_nothing_is_answered(service: Served, method: Any) -> None:
    reader = service.tokens.reader
    for metadata in (
        (),
        (bearer("guess"),),
        (bearer(""),),
        (("authorization", reader),),
        (("authorization", f"Basic {reader}"),),
        (("x-authorization", f"Bearer {reader}"),),
    ):
        assert call(service, method, *metadata) is grpc.StatusCode.UNAUTHENTICATED, metadata


def test_the_client_hears_why(service: Served) -> None:
    with service.client(service.tokens.reader) as client, pytest.raises(RoleError) as refused:
        client.get_user(EXPERT)
    assert refused.value.message == "GetUser needs the operator role; this token is a reader's."
    with service.client("") as client, pytest.raises(AuthenticationError) as unknown:
        client.status()
    assert "MLP_ANALYZER_TOKEN" in unknown.value.hint


def test_looks_at_persons_are_audited_granted_or_not(
    service: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "analyzer_service.audit"):
        with service.client() as client:
            client.get_user(EXPERT)
            client.get_challenge("ch-1")
            list(client.query("SELECT 1", max_rows=1))
        with service.client(service.tokens.reader) as client, pytest.raises(RoleError):
            client.list_users(segment=None, page_size=0, page_token="")
    seen = [
        (entry.method, entry.role, entry.subject, entry.granted)
        for entry in caplog.records
        if entry.name == "analyzer_service.audit"
    ]
    assert seen == [
        ("GetUser", "operator", EXPERT, True),
        ("Query", "operator", "SELECT 1", True),
        ("ListUsers", "reader", "*", False),
    ]


def test_authentication_off_is_open_and_loudly_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING),
        served(tmp_path, authenticated=False) as found,
        found.client("") as client,
    ):
        assert client.get_user(EXPERT).segment.user == EXPERT
    assert "AUTHENTICATION IS OFF" in caplog.text


def test_tokens_in_clear_on_a_network_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with served(tmp_path) as found, caplog.at_level(logging.WARNING):
        GrpcServer(found.analyzer, host="0.0.0.0", port=0, tokens=found.tokens).stop()  # noqa: S104
    assert "tokens travel in clear" in caplog.text


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority and a certificate for 127.0.0.1 that it signs."""
    if shutil.which("openssl") is None:
        assert os.environ.get("CI") != "true", "openssl is needed to make certificates"
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("pems")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for line in (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -subj /CN=authority -keyout ca.key -out ca.pem",
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        " -subj /CN=service -keyout service.key -out service.csr",
        "x509 -req -in service.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2"
        " -extfile names -out service.pem",
    ):
        subprocess.run(["openssl", *line.split()], cwd=folder, check=True, capture_output=True)
    return folder


def test_tls_and_client_certificates(tmp_path: Path, pems: Path) -> None:
    certificate, key, authority = (pems / name for name in ("service.pem", "service.key", "ca.pem"))
    with served(tmp_path, tls=TlsFiles(certificate, key)) as found:
        token = found.tokens.reader
        with RemoteAnalyzer(found.address, token=token, ca_file=authority) as client:
            assert client.status().users == 4
        with RemoteAnalyzer(found.address, token=token) as plain, pytest.raises(UnavailableError):
            plain.status()
    with served(tmp_path, tls=TlsFiles(certificate, key, authority)) as found:
        nobody = RemoteAnalyzer(found.address, token=token, ca_file=authority)
        with nobody, pytest.raises(UnavailableError):
            nobody.status()
        with RemoteAnalyzer(
            found.address,
            token=token,
            ca_file=authority,
            certificate_file=certificate,
            key_file=key,
        ) as known:
            assert known.status().users == 4
