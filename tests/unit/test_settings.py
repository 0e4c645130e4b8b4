from __future__ import annotations

import logging
from pathlib import Path

import pytest

from analyzer_service.errors import SettingsError
from analyzer_service.settings import Settings, variable, without_password


def test_defaults_listen_on_loopback_and_keep_data_in_the_state_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    settings = Settings.load()
    assert settings.host == "127.0.0.1"
    assert (settings.grpc_port, settings.otlp_grpc_port, settings.otlp_http_port) == (
        50051,
        4317,
        4318,
    )
    assert settings.state_folder == tmp_path / "mlp-analyzer"
    assert settings.store == f"chdb://{tmp_path}/mlp-analyzer/store"
    assert settings.authenticated


def test_options_come_before_the_environment_before_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLP_ANALYZER_GRPC_PORT", "1")
    monkeypatch.setenv("MLP_ANALYZER_WEB_PORT", "2")
    settings = Settings.load({"grpc_port": 3, "host": None})
    assert (settings.grpc_port, settings.web_port, settings.host) == (3, 2, "127.0.0.1")
    sources = {item["name"]: item["source"] for item in settings.describe()}
    assert (sources["grpc_port"], sources["web_port"], sources["host"]) == (
        "option",
        "environment",
        "default",
    )


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLP_ANALYZER_GRPC_PORT", "")
    monkeypatch.setenv("MLP_ANALYZER_USER_SALT", "")
    settings = Settings.load()
    assert settings.grpc_port == 50051
    assert settings.user_salt is None


@pytest.mark.parametrize(
    ("text", "expected", "warned"),
    [("true", True, False), ("TRUE", True, False), ("False", False, False), ("yes", False, True)],
)
def test_only_true_is_true(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    text: str,
    expected: bool,
    warned: bool,
) -> None:
    monkeypatch.setenv("MLP_ANALYZER_DEBUG", text)
    with caplog.at_level(logging.WARNING):
        assert Settings.load().debug is expected
    assert bool(caplog.records) is warned


def test_lists_have_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLP_ANALYZER_CORS_ORIGINS", "https://a.example, https://b.example,")
    assert Settings.load().cors_origins == ("https://a.example", "https://b.example")


BAD = {
    "grpc_port": "70000",
    "otlp_http_port": "abc",
    "store": "postgres://u:hunter2@h/d",
    "interval_ms": "-1",
    "authentication": "maybe",
    "user_salt": "short-secret",
    "query_max_rows": "0",
    "engine_threads": "1.5",
    "tls_key_file": "/nowhere/key.pem",
    "server": "host-without-port",
}


@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_value_is_said_with_variable_and_cure(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(variable(name), BAD[name])
    with pytest.raises(SettingsError, match=variable(name)) as caught:
        Settings.load()
    assert caught.value.field == name
    assert (
        ": give" in str(caught.value)
        or ": say" in str(caught.value)
        or ": set" in str(caught.value)
    )


def test_all_bad_values_are_said_at_once_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in BAD.items():
        monkeypatch.setenv(variable(name), text)
    with pytest.raises(SettingsError) as caught:
        Settings.load({"web_port": -3})
    message = str(caught.value)
    assert all(variable(name) in message for name in BAD)
    assert "--web-port=-3" in message
    assert "hunter2" not in message
    assert "short-secret" not in message


def test_a_client_authority_needs_a_certificate(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    with pytest.raises(SettingsError, match="MLP_ANALYZER_TLS_CERTIFICATE_FILE as well"):
        Settings.load({"tls_client_ca_file": tmp_path / "ca.pem"})


def test_secrets_do_not_show() -> None:
    settings = Settings.load(
        {
            "user_salt": "a-very-secret-salt",
            "token": "a-very-secret-token",
            "store": "clickhouse://me:a-very-secret-password@h:8123/d",
        }
    )
    shown = repr(settings) + str(settings) + str(settings.describe())
    assert "very-secret" not in shown
    assert "clickhouse://me:***@h:8123/d" in shown


def test_a_password_with_odd_letters_does_not_show() -> None:
    assert without_password("clickhouse://u:p:w/@h/d") == "clickhouse://u:***@h/d"
    assert without_password("chdb:///a/b@c:d") == "chdb:///a/b@c:d"


def test_a_salt_is_made_once_and_kept(tmp_path: Path) -> None:
    settings = Settings.load({"state_folder": tmp_path})
    salt = settings.salt()
    assert len(salt) == 64
    assert settings.salt() == salt
    assert Settings.load({"state_folder": tmp_path, "user_salt": "x" * 16}).salt() == "x" * 16


def test_a_misspelt_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLP_ANALYZER_GPRC_PORT", "1")
    with caplog.at_level(logging.WARNING):
        Settings.load()
    assert "did you mean MLP_ANALYZER_GRPC_PORT?" in caplog.text


def test_a_variable_that_is_like_none_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLP_ANALYZER_TEST_DATA", "x")
    with caplog.at_level(logging.WARNING):
        Settings.load()
    assert not caplog.records


def test_an_unknown_override_is_refused() -> None:
    with pytest.raises(SettingsError, match="no setting colour"):
        Settings.load({"colour": "red"})


def test_every_setting_has_a_description_and_a_cure() -> None:
    for name, info in Settings.model_fields.items():
        assert info.description, name
        assert isinstance(info.json_schema_extra, dict), name
        assert info.json_schema_extra["cure"], name
