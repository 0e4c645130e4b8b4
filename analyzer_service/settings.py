"""Every setting of the service, from options and ``MLP_ANALYZER_*`` variables.

The rules are OpenTelemetry's: an empty variable is an unset one, a boolean is true only as
``true``, durations are milliseconds. All values that cannot be used are said at once, at the
start, each with its variable and the cure. docs/configuration.md describes each setting.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from analyzer_service.errors import SettingsError
from analyzer_service.secret_files import read_or_create
from otel_instrumentation import semconv

PREFIX: Final = "MLP_ANALYZER_"

STORE_FORMS: Final = (
    "chdb:///absolute/path, chdb://memory, clickhouse://user:password@host:8123/database "
    "or clickhouses://… (TLS)"
)
_STORE_FORM = re.compile(r"chdb://(memory|/[^?#]+)|clickhouses?://[^/\s]+(/.*)?")
_URL_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):[^@\s]*@")

LARGEST_PORT: Final = 65535
MIN_SALT_LENGTH: Final = 16
"""Shorter salts are refused: user ids are guessable, so the salt must not be."""
SALT_BYTES: Final = 32
"""As many random bytes as the hash has that the salt goes into."""

HOUR_MS: Final = 3_600_000
QUERY_MS: Final = 30_000
"""Half a minute: far above any question over one window, far below what starves the service."""
QUERY_ROWS: Final = 100_000
"""A page for a person or a notebook; whole tables are read from the engine itself."""
QUERY_BYTES: Final = 1 << 30
"""A gigabyte: sorts and joins over a window fit, and two at once do not end the process."""

MISSPELT_RATIO: Final = 0.75
"""How alike two names are when one is a slip of the other: GPRC_PORT is, TEST_DATA is not."""

SECRETS: Final = frozenset({"user_salt", "token"})
_LOG = logging.getLogger(__name__)


def default_state_folder() -> Path:
    """Return where this account keeps tokens, salt and the embedded store."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "state") / "mlp-analyzer"


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.upper()


def without_password(url: str) -> str:
    """Return a store URL that can be shown."""
    return _URL_PASSWORD.sub(r"\1:***@", url)


def _only_true(value: object) -> object:
    if isinstance(value, str):
        if value.lower() not in {"true", "false"}:
            _LOG.warning("%r is neither true nor false; it counts as false.", value)
        return value.lower() == "true"
    return value


def _names(value: object) -> object:
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


def _store_url(value: str) -> str:
    if not _STORE_FORM.fullmatch(value):
        raise ValueError
    return value


def _absolute(value: Path) -> Path:
    return value.expanduser().absolute()


def _setting(default: Any, description: str, cure: str, **limits: Any) -> Any:
    return Field(
        default, description=description, json_schema_extra={"cure": cure}, repr=True, **limits
    )


def _hidden(description: str, cure: str, **limits: Any) -> Any:
    return Field(
        None, description=description, json_schema_extra={"cure": cure}, repr=False, **limits
    )


Port = Annotated[int, Field(ge=0, le=LARGEST_PORT)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]
File = Annotated[Path | None, AfterValidator(lambda path: path and _absolute(path))]
_PORT_CURE: Final = f"give a whole number from 0 (any free port) to {LARGEST_PORT}"
_COUNT_CURE: Final = "give a whole number above 0"


class Settings(BaseSettings):
    """What the service and the commands run with; make one with ``Settings.load``."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True
    )

    state_folder: Annotated[Path, AfterValidator(_absolute)] = Field(
        default_factory=default_state_folder,
        description="Folder with tokens, salt and the embedded store.",
        json_schema_extra={"cure": "name a folder this account can write"},
    )
    store: Annotated[str, AfterValidator(_store_url)] = Field(
        default_factory=lambda data: f"chdb://{data['state_folder'] / 'store'}",
        description="Where the data are: an embedded engine's folder or a ClickHouse server.",
        json_schema_extra={"cure": f"give {STORE_FORMS}"},
        repr=False,
    )
    engine_threads: int | None = _setting(
        None, "Threads of the embedded engine; unset: one per core.", _COUNT_CURE, ge=1, le=1024
    )

    cluster: str | None = _setting(
        None,
        "Cluster of the ClickHouse server's that holds the tables; unset: one server.",
        "give a name that the server has under remote_servers: letters, digits and underscores",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$",
    )

    host: str = _setting(
        "127.0.0.1", "Address everything listens on.", "name one address", min_length=1
    )
    grpc_port: Port = _setting(50051, "Port of the gRPC API.", _PORT_CURE)
    otlp_grpc_port: Port = _setting(4317, "Port of OTLP over gRPC.", _PORT_CURE)
    otlp_http_port: Port = _setting(4318, "Port of OTLP over HTTP.", _PORT_CURE)
    clickhouse_port: Port = _setting(8123, "Port of the ClickHouse-compatible HTTP.", _PORT_CURE)
    web_port: Port = _setting(8080, "Port of the dashboard.", _PORT_CURE)

    authentication: Literal["on", "off"] = _setting(
        "on", "Whether the gRPC API asks for a token.", "say on or off"
    )
    tls_certificate_file: File = _setting(
        None, "Certificate chain (PEM) of the gRPC API; with it the API speaks TLS.", "name a file"
    )
    tls_key_file: File = _setting(None, "Private key (PEM) of that certificate.", "name a file")
    tls_client_ca_file: File = _setting(
        None,
        "Authorities (PEM) that sign client certificates; with it clients need one (mTLS).",
        "name a file",
    )
    allowed_hosts: Names = _setting(
        ("localhost", "127.0.0.1", "[::1]"),
        "Names a request over HTTP may use in its Host header.",
        "give names with commas between them",
    )
    cors_origins: Names = _setting(
        (), "Web origins that may send OTLP over HTTP.", "give origins with commas between them"
    )
    identity_headers: Names = _setting(
        semconv.IDENTITY_HEADERS,
        "Request headers that name the user, as span attributes carry them; first found wins.",
        "give header names with commas between them",
    )
    user_salt: str | None = _hidden(
        "Secret that pseudonyms are made with; unset: a random one kept in the state folder.",
        f"give at least {MIN_SALT_LENGTH} characters",
        min_length=MIN_SALT_LENGTH,
    )

    interval_ms: int = _setting(
        HOUR_MS,
        "Milliseconds between scheduled analyses; 0: none.",
        "give whole milliseconds, 0 or more",
        ge=0,
    )
    rule_set: str = _setting(
        "calibrated", "Rule set of analyses that name none.", "name a rule set", min_length=1
    )
    preset: str = _setting(
        "calibrated", "Segment preset of analyses that name none.", "name a preset", min_length=1
    )

    query_timeout_ms: int = _setting(
        QUERY_MS, "Milliseconds one SQL query may take.", _COUNT_CURE, ge=1
    )
    query_max_rows: int = _setting(
        QUERY_ROWS, "Rows one SQL query may return.", _COUNT_CURE, ge=1, lt=1 << 31
    )
    query_max_memory_bytes: int = _setting(
        QUERY_BYTES, "Bytes of memory one SQL query may use.", _COUNT_CURE, ge=1
    )

    server: str = _setting(
        "127.0.0.1:50051", "Service the reading commands ask.", "give HOST:PORT", pattern=r".+:\d+"
    )
    server_ca_file: File = _setting(
        None,
        "Authorities (PEM) that sign the service's certificate; with it commands use TLS.",
        "name a file",
    )
    token: str | None = _hidden(
        "Token the commands show to a service; unset: the one in the state folder.",
        "copy a token from the service's tokens.json",
    )
    debug: Annotated[bool, BeforeValidator(_only_true)] = Field(
        default=False,
        description="Show where an unexpected error came from.",
        json_schema_extra={"cure": "say true or false"},
    )

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(cls, overrides: Mapping[str, object] | None = None) -> Self:
        """Return the settings from options over environment over defaults.

        Args:
            overrides: Options by setting name; None means not given.

        Raises:
            SettingsError: Naming every value that cannot be used.
        """
        given = {name: value for name, value in (overrides or {}).items() if value is not None}
        unknown = sorted(given.keys() - cls.model_fields.keys())
        if unknown:
            raise SettingsError(f"There is no setting {', '.join(unknown)}.", field=unknown[0])
        problems: list[_Problem] = []
        settings: Self | None = None
        try:
            settings = cls(**cast("dict[str, Any]", given))
        except ValidationError as error:
            problems += _problems(error, given)
        problems += _combinations(given)
        if problems or settings is None:
            raise _error(problems)
        _warn_of_misspelt_variables()
        settings._sources = {name: _source(name, given) for name in cls.model_fields}
        return settings

    @property
    def authenticated(self) -> bool:
        """Whether calls need a token."""
        return self.authentication == "on"

    def salt(self) -> str:
        """Return the user salt: the configured one, or a random one kept in the state folder."""
        return self.user_salt or read_or_create(
            self.state_folder / "user-salt", lambda: secrets.token_hex(SALT_BYTES)
        )

    def describe(self) -> list[dict[str, object]]:
        """Return name, variable, value and source of every setting, secrets hidden."""
        return [
            {
                "name": name,
                "variable": variable(name),
                "value": _shown(name, getattr(self, name)),
                "source": self._sources.get(name, "default"),
                "description": field.description,
            }
            for name, field in type(self).model_fields.items()
        ]


class _Problem:
    """One value that cannot be used."""

    def __init__(self, name: str, value: object, cure: str, *, source: str) -> None:
        self.name = name
        shown = _shown(name, value)
        self.sentence = f"{source}={shown}: {cure}."


def _shown(name: str, value: object) -> object:
    if value is None:
        return None
    if name in SECRETS:
        return "(hidden)"
    if name == "store":
        return without_password(str(value))
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def _source(name: str, given: Mapping[str, object]) -> str:
    if name in given:
        return "option"
    return "environment" if os.environ.get(variable(name)) else "default"


def _origin(name: str, given: Mapping[str, object]) -> str:
    return "--" + name.replace("_", "-") if name in given else variable(name)


def _raw(name: str, given: Mapping[str, object]) -> object:
    return given.get(name) or os.environ.get(variable(name)) or None


def _problems(error: ValidationError, given: Mapping[str, object]) -> list[_Problem]:
    problems = []
    for detail in error.errors():
        name = str(detail["loc"][0]).lower() if detail["loc"] else ""
        name = name.removeprefix(PREFIX.lower())
        if name not in Settings.model_fields or detail["type"] == "default_factory_not_called":
            continue
        extra = Settings.model_fields[name].json_schema_extra
        cure = str(extra.get("cure", "")) if isinstance(extra, dict) else ""
        problems.append(_Problem(name, _raw(name, given), cure, source=_origin(name, given)))
    return problems


def _combinations(given: Mapping[str, object]) -> list[_Problem]:
    """Return what is wrong between settings; each alone may be right."""
    problems = []
    certificate, key = _raw("tls_certificate_file", given), _raw("tls_key_file", given)
    pairs = (
        ("tls_certificate_file", certificate, key, "tls_key_file"),
        ("tls_key_file", key, certificate, "tls_certificate_file"),
        (
            "tls_client_ca_file",
            _raw("tls_client_ca_file", given),
            certificate,
            "tls_certificate_file",
        ),
    )
    for name, value, other, missing in pairs:
        if value and not other:
            cure = f"set {variable(missing)} as well"
            problems.append(_Problem(name, value, cure, source=_origin(name, given)))
    for name in ("tls_certificate_file", "tls_key_file", "tls_client_ca_file", "server_ca_file"):
        value = _raw(name, given)
        if value and not Path(str(value)).expanduser().is_file():
            cure = "name a file that exists"
            problems.append(_Problem(name, value, cure, source=_origin(name, given)))
    return problems


def _error(problems: list[_Problem]) -> SettingsError:
    count = "One setting" if len(problems) == 1 else f"{len(problems)} settings"
    return SettingsError(
        f"{count} cannot be used: " + " ".join(problem.sentence for problem in problems),
        hint="mlp-analyzer config lists every setting; docs/configuration.md explains them.",
        field=problems[0].name if problems else "",
    )


def _warn_of_misspelt_variables() -> None:
    known = [name.upper() for name in Settings.model_fields]
    given = [name.removeprefix(PREFIX) for name in os.environ if name.startswith(PREFIX)]
    for name in sorted(set(given) - set(known)):
        for close in difflib.get_close_matches(name, known, n=1, cutoff=MISSPELT_RATIO):
            _LOG.warning("%s is not a setting; did you mean %s?", PREFIX + name, PREFIX + close)
