"""Lives and reviews over the wire and from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from grpc_service import Served, served
from memory_analyzer import LIFE, STORY, MemoryAnalyzer

from analyzer_service.cli.application import run
from analyzer_service.domain import Segment
from analyzer_service.errors import NotFoundError, RoleError
from analyzer_service.lives import LifeState, ReviewDraft, ReviewKind
from analyzer_service.server.client import RemoteAnalyzer


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("state")) as found:
        yield found


@pytest.fixture
def client(service: Served) -> Iterator[RemoteAnalyzer]:
    vars(service.analyzer).update(vars(MemoryAnalyzer()))
    with service.client() as found:
        yield found


def test_a_life_and_its_story_come_over_the_wire_whole(client: RemoteAnalyzer) -> None:
    assert client.list_lives() == (LIFE,)
    assert client.list_lives(states=[LifeState.VERIFYING, LifeState.OPEN]) == (LIFE,)
    assert client.list_lives(states=[LifeState.OPEN]) == ()
    assert client.get_life("ch-1") == (LIFE, STORY)
    with pytest.raises(NotFoundError):
        client.get_life("ch-9")


def test_a_review_arrives_as_it_was_said(service: Served, client: RemoteAnalyzer) -> None:
    said = [
        ReviewDraft(ReviewKind.DISMISS, "ann", "a load test"),
        ReviewDraft(ReviewKind.INTERVENE, "bo", "", datetime(2026, 3, 1, tzinfo=UTC), (Segment.BEGINNER,)),
    ]  # fmt: skip
    for draft in said:
        assert client.review_challenge("ch-1", draft) == LIFE
    assert service.analyzer.drafts == said


def test_only_operators_review(service: Served) -> None:
    with service.client(service.tokens.reader) as reader:
        assert reader.list_lives() == (LIFE,)
        with pytest.raises(RoleError):
            reader.review_challenge("ch-1", ReviewDraft(ReviewKind.CONFIRM, "ann"))


def test_the_command_says_who_and_since_when(
    service: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    vars(service.analyzer).update(vars(MemoryAnalyzer()))
    monkeypatch.setenv("MLP_ANALYZER_SERVER", service.address)
    monkeypatch.setenv("MLP_ANALYZER_STATE_FOLDER", str(service.state_folder))
    assert run(["review", "ch-1", "intervene", "--since", "2026-03-01", "--segment", "beginner", "--reviewer", "ann", "--json"]) == 0  # fmt: skip
    assert json.loads(capsys.readouterr().out)["state"] == "verifying"
    [draft] = service.analyzer.drafts
    assert draft == ReviewDraft(ReviewKind.INTERVENE, "ann", "", datetime(2026, 3, 1, tzinfo=UTC), (Segment.BEGINNER,))  # fmt: skip
    assert run(["lives", "ch-1"]) == 0
    told = capsys.readouterr().out
    assert "better: -25.0% failures per attempt [-37.5%, -12.5%]" in told
    assert "from 50.0% to 25.0%" in told
    assert "ann: intervene from 2026-01-06 00:00 for beginner; a banner" in " ".join(told.split())
