"""Requests and answers of the endpoint as bytes, without an engine."""

from __future__ import annotations

import gzip
import struct
import zlib

import lz4.block
import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer_service.endpoint.cityhash import city_hash_128
from analyzer_service.endpoint.encodings import ANSWERS, chosen_encoding, decode, encoder, zstd
from analyzer_service.endpoint.errors import EndpointError
from analyzer_service.endpoint.frames import compress_frames, decompress_frames
from analyzer_service.endpoint.handshake import hello_block
from analyzer_service.endpoint.inserts import check_table, parse_insert
from analyzer_service.endpoint.options import sort_options
from analyzer_service.endpoint.request import first_word, read_request
from analyzer_service.store.gate import QueryLimits

LIMIT = 10_000_000


def request(parameters: dict[str, str], body: bytes = b"", **headers: str):
    return read_request(
        headers.pop("method", "POST"),
        parameters,
        body,
        content_type=headers.pop("content_type", ""),
        content_encoding=headers.pop("content_encoding", ""),
        limit=LIMIT,
    )


def frame(method: int, packed: bytes, size: int) -> bytes:
    rest = struct.pack("<BII", method, len(packed) + 9, size) + packed
    return city_hash_128(rest) + rest


# -- ClickHouse's compression


@given(st.binary(max_size=2000), st.integers(0, 3))
def test_frames_come_back(data: bytes, copies: int) -> None:
    data *= 1 + copies * 1000
    assert decompress_frames(compress_frames(data), LIMIT) == data


def test_all_methods_are_read() -> None:
    data = b"telemetry " * 99
    body = (
        frame(0x02, data, len(data))
        + frame(0x82, lz4.block.compress(data, store_size=False), len(data))
        + frame(0x90, zstd.compress(data), len(data))
    )
    assert decompress_frames(body, LIMIT) == data * 3


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (compress_frames(b"x" * 500)[:-1], "CANNOT_DECOMPRESS"),
        (compress_frames(b"x" * 500)[:20], "CANNOT_DECOMPRESS"),
        (b"\x00" + compress_frames(b"x" * 500)[1:], "CHECKSUM_DOESNT_MATCH"),
        (frame(0x91, b"abc", 3), "UNKNOWN_COMPRESSION_METHOD"),
        (frame(0x82, b"\xff\xff\xff", 300), "CANNOT_DECOMPRESS"),
        (frame(0x90, b"no zstd", 300), "CANNOT_DECOMPRESS"),
        (frame(0x02, b"abc", 4), "CANNOT_DECOMPRESS"),
        (frame(0x82, b"", 0xFFFFFFFF), "LIMIT_EXCEEDED"),
        (frame(0x90, zstd.compress(bytes(1_000_000)), 100), "CANNOT_DECOMPRESS"),
    ],
)
def test_bad_frames_are_named(body: bytes, name: str) -> None:
    with pytest.raises(EndpointError) as caught:
        decompress_frames(body, LIMIT)
    assert caught.value.name == name


# -- HTTP's compression


@pytest.mark.parametrize("encoding", ANSWERS)
@pytest.mark.parametrize("chunks", [[], [b"one"], [b"x" * 100_000, b"", b"y" * 100_000]])
def test_encodings_come_back(encoding: str, chunks: list[bytes]) -> None:
    coder = encoder(encoding)
    packed = b"".join(coder.compress(chunk) for chunk in chunks) + coder.flush()
    assert decode(packed, encoding, LIMIT) == b"".join(chunks)


def test_other_programs_encodings_are_read() -> None:
    data = b"rows " * 1000
    assert decode(gzip.compress(data) + gzip.compress(data), "gzip", LIMIT) == data * 2
    assert decode(zlib.compress(data), "deflate", LIMIT) == data
    assert decode(lz4.frame.compress(data), "LZ4", LIMIT) == data
    assert decode(zstd.compress(data), "zstd", LIMIT) == data


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "lz4", "zstd"])
def test_bad_bodies_are_named(encoding: str) -> None:
    coder = encoder(encoding)
    bomb = coder.compress(bytes(LIMIT + 1)) + coder.flush()
    for body, name in (
        (b"plain text", "CANNOT_DECOMPRESS"),
        (bomb[:-5], "CANNOT_DECOMPRESS"),
        (bomb, "LIMIT_EXCEEDED"),
    ):
        with pytest.raises(EndpointError) as caught:
            decode(body, encoding, LIMIT if name == "LIMIT_EXCEEDED" else 2 * LIMIT)
        assert caught.value.name == name


def test_unknown_encodings_are_named() -> None:
    with pytest.raises(EndpointError, match="'br' is not known"):
        decode(b"", "br", LIMIT)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("lz4,zstd,gzip,deflate", "lz4"),
        ("br, GZIP;q=0.5, zstd", "gzip"),
        ("gzip;q=0, deflate", "deflate"),
        ("gzip;q=0.0", ""),
        ("identity", ""),
        ("*", ""),
        ("", ""),
    ],
)
def test_the_client_chooses_the_encoding(accept: str, chosen: str) -> None:
    assert chosen_encoding(accept) == chosen


# -- options


def test_options_are_sorted() -> None:
    options = sort_options(
        {"database": "default", "param_x": "1", "max_execution_time": "5", "async_insert": "1"}
    )
    assert options.transport == {"database": "default"}
    assert options.parameters == {"x": "1"}
    assert options.limits(QueryLimits()).seconds == 5.0


def test_clients_may_lower_limits_and_not_raise_them() -> None:
    limits = QueryLimits(seconds=10, result_rows=100)
    wanted = sort_options({"max_execution_time": "99", "max_result_rows": "7"}).limits(limits)
    assert (wanted.seconds, wanted.result_rows) == (10, 7)
    assert sort_options({"max_execution_time": "0"}).limits(limits) == limits


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("allow_ddl", "1", 115),
        ("final", "0", 115),
        ("additional_table_filters", "{}", 115),
        ("format_csv_delimiter", "'", 36),
        ("date_time_output_format", "x' , readonly = 0", 36),
    ],
)
def test_other_settings_are_refused(name: str, value: str, code: int) -> None:
    with pytest.raises(EndpointError, match=name) as caught:
        sort_options({name: value})
    assert caught.value.code == code


def test_limits_must_be_numbers() -> None:
    with pytest.raises(EndpointError, match="max_result_rows must be a number"):
        sort_options({"max_result_rows": "many"}).limits(QueryLimits())


# -- statements and data


def test_query_and_body_make_the_statement() -> None:
    assert request({"query": "SELECT"}, b"1").statement == "SELECT\n1"
    assert request({"query": "SELECT 1"}).statement == "SELECT 1"
    assert request({}, b"SELECT 1").statement == "SELECT 1"
    assert request({}, b"SELECT 1", method="GET").readonly


@pytest.mark.parametrize(
    ("parameters", "body", "data"),
    [
        ({"query": "INSERT INTO t FORMAT Native"}, b"\n\nDROP", b"\n\nDROP"),
        ({}, b"INSERT INTO t FORMAT CSV\n1\n\n2\n", b"1\n\n2\n"),
        ({}, b" -- c\n insert into t (a) format CSV \r\n1", b"1"),
        ({"query": "INSERT INTO t FORMAT CSV\n1\n"}, b"2\n", b"1\n\n2\n"),
        ({}, b"INSERT INTO t FORMAT CSV", b""),
    ],
)  # fmt: skip
def test_data_follows_an_insert(parameters: dict[str, str], body: bytes, data: bytes) -> None:
    asked = request(parameters, body)
    assert asked.first_word == "INSERT"
    assert asked.data == data
    assert parse_insert(asked.statement, "").table == "t"


def test_forms_carry_parameters() -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT {x:String}\r\n'
        b'--b\r\nContent-Disposition: form-data; name="param_x"\r\n\r\nlong \xc3\xa4\r\n--b--\r\n'
    )
    asked = request({}, body, content_type="multipart/form-data; boundary=b")
    assert asked.statement == "SELECT {x:String}"
    assert asked.options.parameters == {"x": "long ä"}


def test_files_in_forms_are_refused() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="t"; filename="f"\r\n\r\n1\r\n--b--\r\n'
    with pytest.raises(EndpointError, match="External data"):
        request({}, body, content_type="multipart/form-data; boundary=b")


def test_compressed_bodies_are_read() -> None:
    packed = gzip.compress(compress_frames(b"SELECT 7"))
    assert request({"decompress": "1"}, packed, content_encoding="gzip").statement == "SELECT 7"


@pytest.mark.parametrize(
    ("text", "word"),
    [("select 1", "SELECT"), ("/* a */ -- b\n\tWITH x", "WITH"), ("(SELECT 1)", ""), ("", "")],
)
def test_first_words(text: str, word: str) -> None:
    assert first_word(text) == word


def test_the_exporters_insert_is_read() -> None:
    insert = parse_insert(
        'INSERT INTO "default"."otel_traces" ( Timestamp, `TraceId`, "Events.Name" ) '
        "SETTINGS async_insert=1, wait_for_async_insert = 0 FORMAT Native",
        "",
    )
    assert (insert.database, insert.table, insert.data_format) == (
        "default",
        "otel_traces",
        "Native",
    )
    assert insert.columns == ("Timestamp", "TraceId", "Events.Name")
    assert insert.settings == {"async_insert": "1", "wait_for_async_insert": "0"}


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO otel_logs VALUES (1)",
        "INSERT INTO otel_logs SELECT 1",
        "INSERT INTO otel_logs (Body) SELECT file('x') FORMAT Native",
        "INSERT INTO FUNCTION file('x') FORMAT CSV",
        "INSERT INTO TABLE FUNCTION url('x') FORMAT CSV",
        "INSERT INTO otel_logs FROM INFILE 'x' FORMAT CSV",
        "INSERT INTO otel_logs FORMAT Values",
        "INSERT INTO otel_logs FORMAT Protobuf",
        'INSERT INTO otel_logs ("a) FROM INFILE") FORMAT CSV',
        "INSERT INTO otel_logs (Body, file('x')) FORMAT CSV",
        "INSERT INTO otel_logs (Body)",
        "INSERT INTO otel_logs FORMAT CSV SETTINGS x = 1",
    ],
)
def test_other_inserts_are_refused(statement: str) -> None:
    with pytest.raises(EndpointError):
        parse_insert(statement, "")


def test_only_raw_telemetry_is_inserted() -> None:
    check_table("otel_logs")
    check_table("otel_metrics_sum")
    with pytest.raises(EndpointError, match="only sums are taken"):
        check_table("otel_metrics_gauge")
    with pytest.raises(EndpointError, match="everything else is made from these"):
        check_table("signals")


# -- the handshake


def read_string(data: bytes, at: int) -> tuple[str, int]:
    size = data[at]
    return data[at + 1 : at + 1 + size].decode(), at + 1 + size


@pytest.mark.parametrize("revision", [0, 51903, 54405, 54454, 54460])
def test_the_handshake_fits_the_clients_revision(revision: int) -> None:
    block = hello_block("26.9.2.1", revision)
    at = 0
    if revision >= 51903:
        assert struct.unpack_from("<BBBiB", block) == (1, 0, 2, -1, 0)
        at = 8
    assert block[at : at + 2] == b"\x04\x01"
    at += 2
    values = []
    for kind in ("String", "String", "UInt32", "String"):
        _, at = read_string(block, at)
        found, at = read_string(block, at)
        assert found == kind
        if revision >= 54454:
            assert block[at] == 0
            at += 1
        if kind == "UInt32":
            values.append(struct.unpack_from("<I", block, at)[0])
            at += 4
        else:
            value, at = read_string(block, at)
            values.append(value)
    assert at == len(block)
    assert values == ["mlp-analyzer", "26.9.2.1", 0, "UTC"]
