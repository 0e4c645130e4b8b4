from __future__ import annotations

import random
from pathlib import Path

import pytest

from analyzer_service.replay import ReplayState
from analyzer_service.replay.state import state_folder
from tests.integration.replay_logs import PLAIN, mapping


def test_rows_count_as_done_without_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.json"
    state = ReplayState(path)
    state.acknowledge(10, 20)
    assert (state.rows_done, path.exists()) == (0, False)
    state.acknowledge(0, 10)
    assert state.rows_done == 20
    state.acknowledge(30, 40)
    assert ReplayState(path).rows_done == 20


def test_any_order_of_answers_ends_at_the_same(tmp_path: Path) -> None:
    ranges = [(start, start + 7) for start in range(0, 700, 7)]
    random.Random(1).shuffle(ranges)
    state = ReplayState(tmp_path / "s.json")
    for first, end in ranges:
        state.acknowledge(first, end)
    assert ReplayState(tmp_path / "s.json").rows_done == 700


def test_forgetting_starts_over(tmp_path: Path) -> None:
    state = ReplayState(tmp_path / "s.json")
    state.acknowledge(0, 5)
    state.forget()
    state.forget()
    assert ReplayState(tmp_path / "s.json").rows_done == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"version": 1}', '{"version": 99, "rows_done": 5}',
                '{"version": 1, "rows_done": -4}', '{"version": 1, "rows_done": "9"}']
)  # fmt: skip
def test_a_damaged_state_starts_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "s.json").write_text(content)
    assert ReplayState(tmp_path / "s.json").rows_done == 0


def test_content_mapping_and_receiver_make_a_state_and_the_name_does_not(tmp_path: Path) -> None:
    for name, content in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / name).write_text(content)

    def state(log: str, text: str = PLAIN, endpoint: str = "h:1") -> Path:
        return ReplayState.of(tmp_path / log, mapping(text), endpoint, folder=tmp_path).path

    assert state("a") == state("b")
    others = {state("c"), state("a", PLAIN.replace("[gpus]", "[end]")), state("a", endpoint="h:2")}
    assert len(others | {state("a")}) == 4


def test_states_lie_in_the_users_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_folder() == tmp_path / "mlp-analyzer" / "replay"
    for useless in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", useless)
        assert state_folder() == Path.home() / ".local/state/mlp-analyzer/replay"
