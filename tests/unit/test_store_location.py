"""Store URLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer_service.errors import InvalidInputError
from analyzer_service.store.location import parse_location


@pytest.mark.parametrize(
    ("url", "shown", "embedded"),
    [
        ("chdb:///data/store", "chdb:///data/store", True),
        ("chdb:///data/a%20b/", "chdb:///data/a b", True),
        ("chdb://memory", "chdb://memory", True),
        ("clickhouse://h", "clickhouse://h:8123/default", False),
        ("clickhouse://u:p%40ss@h:9/db", "clickhouse://u@h:9/db", False),
        ("clickhouses://u:p@h/db", "clickhouses://u@h:8443/db", False),
        ("clickhouse://[::1]:8123/db", "clickhouse://[::1]:8123/db", False),
    ],
)
def test_known_forms(url: str, shown: str, embedded: bool) -> None:
    location = parse_location(url)
    assert location.url == shown
    assert location.embedded is embedded


def test_parts_of_a_server() -> None:
    location = parse_location("clickhouses://some%40one:p%2Fw@example.org:1234/mlp")
    assert (location.user, location.password) == ("some@one", "p/w")
    arguments = location.client_arguments()
    assert arguments["interface"] == "https"
    assert (arguments["host"], arguments["port"]) == ("example.org", 1234)
    assert arguments["database"] == "mlp"
    assert location.client_arguments(database=False)["database"] is None
    assert "p/w" not in repr(location)


def test_the_path_is_whole() -> None:
    assert parse_location("chdb:///a/../b").path == Path("/b")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "store",
        "/data/store",
        "chdb://",
        "chdb:///",
        "chdb://relative/path",
        "chdb:relative",
        "chdb:///x?mode=ro",
        "chdb://memory/db",
        "http://h:8123",
        "clickhouse://",
        "clickhouse:///db",
        "clickhouse://user:s3cret@h:notaport/db",
        "clickhouse://user:s3cret@h/db?secure=1",
        "clickhouse://user:s3cret@h/a`b",
        "clickhouse://user:s3cret@h/a/b",
        "postgres://user:s3cret@h/db",
    ],
)
def test_bad_urls_name_the_forms_and_no_secret(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_location(url)
    assert "chdb:///absolute/path" in str(caught.value)
    assert "clickhouse://user:password@host:8123/database" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.field == "store"
