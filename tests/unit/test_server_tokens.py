from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from analyzer_service.errors import SettingsError
from analyzer_service.secret_files import read_or_create
from analyzer_service.server.tokens import Role, load_tokens, tokens_file


def test_the_first_start_makes_tokens_only_their_owner_reads(tmp_path: Path) -> None:
    tokens = load_tokens(tmp_path / "new")
    path = tokens_file(tmp_path / "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len({tokens.reader, tokens.writer, tokens.operator}) == 3
    assert min(map(len, (tokens.reader, tokens.writer, tokens.operator))) >= 40
    assert load_tokens(tmp_path / "new") == tokens
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_each_token_has_its_role_and_no_other_text_has_one(tmp_path: Path) -> None:
    tokens = load_tokens(tmp_path)
    assert [tokens.role_of(getattr(tokens, role)) for role in Role] == list(Role)
    for foreign in ("", "x", tokens.reader[:-1], tokens.reader + "x", "ü"):
        assert tokens.role_of(foreign) is None


def test_tokens_do_not_show(tmp_path: Path) -> None:
    tokens = load_tokens(tmp_path)
    assert tokens.operator not in repr(tokens)


def test_a_file_others_can_read_is_refused(tmp_path: Path) -> None:
    load_tokens(tmp_path)
    tokens_file(tmp_path).chmod(0o644)
    with pytest.raises(SettingsError, match="other accounts") as caught:
        load_tokens(tmp_path)
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"reader": "a"}), '{"reader": ""}'])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tokens_file(tmp_path)
    path.touch(mode=0o600)
    path.write_text(text)
    with pytest.raises(SettingsError, match="tokens"):
        load_tokens(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be used") as caught:
        load_tokens(tmp_path / "file" / "state")
    assert "MLP_ANALYZER_STATE_FOLDER" in caught.value.hint


def test_who_comes_second_finds_the_firsts_secret(tmp_path: Path) -> None:
    path = tmp_path / "secret"

    def make_while_another_is_quicker() -> str:
        read_or_create(path, lambda: "first")
        return "second"

    assert read_or_create(path, make_while_another_is_quicker) == "first"
