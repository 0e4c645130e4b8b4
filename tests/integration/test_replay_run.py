from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path

import grpc
import pandas as pd
import pyarrow as pa
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from pyarrow import parquet

from analyzer_service.errors import InvalidInputError, MappingError, NotFoundError, UnavailableError
from analyzer_service.otlp.sender import OtlpSender
from analyzer_service.replay import Mapping, ReplayState, ReplaySummary, load_mapping, replay
from analyzer_service.replay.log import MAX_LINE_CHARACTERS
from analyzer_service.replay.run import MAX_PROBLEMS, REQUEST_ROWS
from otel_instrumentation import semconv
from tests.integration.otlp_capture import Capture, plain_attributes, receiving
from tests.integration.replay_logs import HEADER, PLAIN, START, job_log, lines, mapping


def run(path: Path, by: Mapping | None = None) -> tuple[ReplaySummary, list[dict[str, object]]]:
    with receiving() as capture, OtlpSender(capture.endpoint) as sender:
        summary = replay(path, by or mapping(), sender)
    return summary, table(capture)


def table(capture: Capture) -> list[dict[str, object]]:
    return [
        {
            **plain_attributes(list(span.attributes)),
            "ids": (span.trace_id.hex(), span.span_id.hex()),
            "parent": span.parent_span_id,
            "name": span.name,
            "start": span.start_time_unix_nano,
            "end": span.end_time_unix_nano,
            "status": span.status.code,
        }
        for span in capture.spans()
    ]


def log(tmp_path: Path, body: str | bytes, name: str = "log.csv") -> Path:
    path = tmp_path / name
    content = body if isinstance(body, bytes) else body.encode()
    path.write_bytes(HEADER.encode() + content)
    return path


# --- the two public logs, row by row against pandas ------------------------------------------


def compare(rows: list[dict[str, object]], expected: pd.DataFrame) -> None:
    sent = pd.DataFrame(rows).reindex(columns=[*expected.columns, "ids"])
    assert sent["ids"].nunique() == len(expected)
    order = list(expected.columns)
    sent = sent[order].fillna("").sort_values(order, ignore_index=True)
    expected = expected.sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(sent, expected, check_dtype=False)


def test_philly_agrees_with_the_file_row_by_row() -> None:
    path = job_log("philly")
    summary, rows = run(path, load_mapping("philly"))
    assert summary.rows_read == summary.rows_sent == summary.rows_accepted == 15_000
    frame = pd.read_csv(path)
    start = (frame.submit_epoch + frame.wait_time) * 10**9
    failed = frame.new_status == "Failed"
    outcomes = {"Pass": "ok", "Failed": "error", "Killed": "cancelled"}
    expected = pd.DataFrame(
        {
            semconv.USER_ID: frame.user.astype(str),
            "start": start,
            "end": start + frame.run_time * 10**9,
            semconv.OUTCOME: frame.new_status.map(outcomes),
            semconv.ERROR_TYPE: failed.map({True: "JobFailed", False: ""}),
            "status": failed.map({True: Status.STATUS_CODE_ERROR, False: 0}),
            semconv.GPU_REQUESTED: frame.gpu_num,
            semconv.NODES_REQUESTED: frame.node_num,
            semconv.WAIT_SECONDS: frame.wait_time.astype(float),
        }
    )
    compare(rows, expected)
    same = pd.DataFrame(rows).groupby([semconv.GPU_REQUESTED, semconv.NODES_REQUESTED])
    assert same[semconv.ACTION_DIGEST].nunique().eq(1).all()
    assert pd.DataFrame(rows)[semconv.ACTION_DIGEST].nunique() == same.ngroups


def test_mira_agrees_with_the_file_row_by_row() -> None:
    path = job_log("mira")
    summary, rows = run(path, load_mapping("mira"))
    assert summary.rows_read == summary.rows_sent == summary.rows_accepted == 22_508
    frame = pd.read_csv(path, dtype={"user": str, "project": str, "job": str})
    start = (frame.submit_time.astype("int64") + frame.wait_time) * 10**9
    cut_off = frame.run_time >= frame.wall_time
    failed = cut_off | (frame.new_status == "Failed")
    error_type = frame.state.map({134: "Aborted", 139: "SegmentationFault", 143: "Terminated"})
    error_type = error_type.fillna("NonZeroExit").where(failed, "")
    outcomes = {"Pass": "ok", "Failed": "error", "Killed": "cancelled"}
    expected = pd.DataFrame(
        {
            semconv.USER_ID: frame.user,
            "start": start,
            "end": start + frame.run_time.astype("int64") * 10**9,
            semconv.OUTCOME: frame.new_status.map(outcomes).where(~cut_off, "error"),
            semconv.ERROR_TYPE: error_type.where(~cut_off, "TimeLimitExceeded"),
            semconv.LIMIT_HIT: cut_off.map({True: "time", False: ""}),
            "status": failed.map({True: Status.STATUS_CODE_ERROR, False: 0}),
            semconv.TEAM: frame.project,
            semconv.RUN_ID: frame.job,
            semconv.NODES_REQUESTED: frame.node_num.astype(int),
            semconv.CPU_REQUESTED: frame.cpu_num.astype(int),
            semconv.WAIT_SECONDS: frame.wait_time.astype(float),
        }
    )
    assert cut_off.sum() == 4_262
    compare(rows, expected)


# --- one row -----------------------------------------------------------------------------------


def test_a_row_becomes_one_root_span(tmp_path: Path) -> None:
    _, (span,) = run(log(tmp_path, f"ann,{START},2.5,10,bad,oom,4\n"))
    varying = {"ids", "mlp.action.digest"}
    assert {key: value for key, value in span.items() if key not in varying} == {
        "name": "submit_job",
        "parent": b"",
        "start": START * 10**9 + 2_500_000_000,
        "end": START * 10**9 + 12_500_000_000,
        "status": Status.STATUS_CODE_ERROR,
        "mlp.stage": "model_training",
        "mlp.component": "cluster",
        "mlp.action": "submit_job",
        "mlp.action.kind": "key",
        "mlp.outcome": "error",
        "error.type": "OutOfMemory",
        "mlp.wait.seconds": 2.5,
        "mlp.resource.gpu.requested": 4,
        "user.id": "ann",
    }  # fmt: skip


def test_the_resource_names_service_and_contract(tmp_path: Path) -> None:
    with receiving() as capture, OtlpSender(capture.endpoint) as sender:
        replay(log(tmp_path, lines(1)), mapping(PLAIN + "service: jobs\n"), sender)
    resource = capture.traces[0].resource_spans[0].resource
    assert plain_attributes(list(resource.attributes)) == {
        "service.name": "jobs",
        "mlp.schema.version": semconv.SCHEMA_VERSION,
    }


def test_what_a_row_does_not_say_is_left_out(tmp_path: Path) -> None:
    _, (span,) = run(log(tmp_path, f",{START},,0,good,,\n"))
    assert span["start"] == span["end"] == START * 10**9
    absent = {"user.id", "mlp.wait.seconds", "mlp.resource.gpu.requested", "error.type"}
    assert not absent & span.keys()


def test_values_conditions_and_constants(tmp_path: Path) -> None:
    text = PLAIN.replace("stage: model_training", "stage: {column: why, values: {f: feature}, "
                         "otherwise: model_training}") + (
        "session: {column: why}\n"
        "attributes: {mlp.dataset.id: d1, mlp.model.id: {column: gpus}}\n"
        "failures:\n"
        "  - when: [{column: end, equals: stopped}, {column: ran, more_than: 9}]\n"
        "    error_type: TooLong\n"
        "    limit: time\n"
        "  - when: {column: gpus, at_least: {column: ran}}\n"
        "    error_type: Greedy\n"
    )  # fmt: skip
    body = (
        f"a,{START},0,10,stopped,f,1\n"
        f"a,{START},0,9,stopped,,1\n"
        f"a,{START},0,3,good,,3\n"
        f"a,{START},0,3,good,,\n"
    )
    _, spans = run(log(tmp_path, body), mapping(text))
    said = [(span["mlp.outcome"], span.get("error.type"), span.get("mlp.resource.limit.hit"))
            for span in spans]  # fmt: skip
    assert said == [
        ("error", "TooLong", "time"),
        ("cancelled", None, None),
        ("error", "Greedy", None),
        ("ok", None, None),
    ]
    assert spans[0]["mlp.stage"] == "feature"
    assert spans[1]["mlp.stage"] == "model_training"
    assert spans[0]["session.id"] == "f"
    assert spans[0]["mlp.dataset.id"] == "d1"
    assert spans[2]["mlp.model.id"] == "3"


# --- identity ----------------------------------------------------------------------------------


def test_the_same_row_is_the_same_event_wherever_it_comes_from(tmp_path: Path) -> None:
    body = lines(50)
    first = run(log(tmp_path, body))[1]
    moved = run(log(tmp_path, body, "elsewhere.txt"))[1]
    zipped = tmp_path / "log.csv.gz"
    zipped.write_bytes(gzip.compress((HEADER + body).encode()))
    windows = log(tmp_path, body.replace("\n", "\r\n"), "windows.csv")
    windows.write_bytes(b"\xef\xbb\xbf" + windows.read_bytes().replace(b"gpus\n", b"gpus\r\n"))
    edited = mapping(PLAIN.replace("component: cluster", "component: other"))
    grown = run(log(tmp_path, body + lines(1), "grown.csv"))[1]
    ids = [span["ids"] for span in first]
    assert len(set(ids)) == 50
    assert ids == [span["ids"] for span in moved]
    assert ids == [span["ids"] for span in run(zipped)[1]]
    assert ids == [span["ids"] for span in run(windows)[1]]
    assert ids == [span["ids"] for span in run(log(tmp_path, body), edited)[1]]
    assert ids == [span["ids"] for span in grown][:50]
    assert grown[50]["ids"] not in ids  # equal to row 1, and another row


def test_another_mapping_makes_other_events(tmp_path: Path) -> None:
    path = log(tmp_path, lines(5))
    other = run(path, mapping(PLAIN.replace("name: plain", "name: other")))[1]
    assert not {span["ids"] for span in other} & {span["ids"] for span in run(path)[1]}


# --- broken input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "field", "problem"),
    [
        ("u1,1700000000,5", "", "3 fields where the header has 7"),
        ("u1,1700000000,5,60,good,,1,8,9", "", "9 fields where the header has 7"),
        ("u1,yesterday,5,60,good,,1", "time", "'yesterday' is no number"),
        ("u1,,5,60,good,,1", "time", "'' is no number"),
        ("u1,1700000000000,5,60,good,,1", "time", "before the year 2000 or after 2261"),
        ("u1,12,5,60,good,,1", "time", "before the year 2000 or after 2261"),
        ("u1,1700000000,5,-60,good,,1", "duration", "'-60' is negative or longer than ten"),
        ("u1,1700000000,5,1e12,good,,1", "duration", "'1e12' is negative or longer than ten"),
        ("u1,1700000000,5,,good,,1", "duration", "'' is no number"),
        ("u1,1700000000,-1,60,good,,1", "wait", "'-1' is negative"),
        ("u1,1700000000,5,60,splendid,,1", "outcome", "'splendid' is not among the values"),
        ("u1,1700000000,5,60,good,,many", "resources.gpu", "'many' is no number"),
        ('"u1,1700000000,5,60,good,,1', "", "the quotes do not match"),
        ('"u"1,1700000000,5,60,good,,1', "", "the quotes do not match"),
        (b"u\xff,1700000000,5,60,good,,1", "", "the line is not utf-8"),
        ("u" * (MAX_LINE_CHARACTERS + 5), "", "the line is longer than"),
        (b"\x00\x01\x02", "", "1 fields where the header has 7"),
    ],
)
def test_a_broken_line_is_skipped_and_told(
    tmp_path: Path, line: str | bytes, field: str, problem: str
) -> None:
    raw = line if isinstance(line, bytes) else line.encode()
    body = lines(3).encode() + raw + b"\n" + lines(2).encode()
    summary, spans = run(log(tmp_path, body))
    assert len(spans) == summary.rows_sent == summary.rows_accepted == 5
    assert (summary.rows_read, summary.rows_skipped) == (6, 1)
    assert dict(summary.skipped_by_field) == {field: 1}
    (told,) = summary.problems
    assert (told.line, told.field) == (5, field)
    assert problem in told.problem
    assert told.cure
    assert str(told).startswith("line 5")


def test_many_broken_lines_are_counted_and_some_told(tmp_path: Path) -> None:
    summary, spans = run(log(tmp_path, "broken\n" * 100 + lines(1)))
    assert (summary.rows_skipped, len(summary.problems), len(spans)) == (100, MAX_PROBLEMS, 1)


def test_quoted_fields_and_blank_lines_are_no_trouble(tmp_path: Path) -> None:
    body = f'\n"a, ""b""",{START},5,60,good,,1\n\n   \n'
    summary, (span,) = run(log(tmp_path, body))
    assert (span["user.id"], summary.rows_read) == ('a, "b"', 1)


def test_delimiter_and_encoding_are_the_mappings(tmp_path: Path) -> None:
    body = (HEADER + f"Jörg,{START},5,60,good,,1\n").replace(",", ";").encode("latin-1")
    (tmp_path / "log.csv").write_bytes(body)
    by = mapping(PLAIN + "delimiter: ;\nencoding: latin-1\n")
    assert run(tmp_path / "log.csv", by)[1][0]["user.id"] == "Jörg"


def test_a_damaged_gzip_gives_what_stands_before_the_damage(tmp_path: Path) -> None:
    packed = gzip.compress((HEADER + lines(20_000)).encode())
    path = tmp_path / "log.csv.gz"
    path.write_bytes(packed[: len(packed) // 2])
    summary, spans = run(path)
    assert 1_000 < len(spans) == summary.rows_sent < 20_000
    assert summary.rows_skipped == 1
    assert "damaged from here on" in summary.problems[0].problem


def test_a_missing_column_is_named_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(HEADER.replace("waited", "waitd").replace("gpus", "who") + lines(1))
    with pytest.raises(MappingError) as caught:
        run(path)
    text = str(caught.value)
    assert "wait reads the column 'waited', which the log has not (perhaps 'waitd'" in text
    assert "resources.gpu reads the column 'gpus'" in text
    assert "user reads the column 'who', which the log has twice" in text
    assert "the log's columns are: 'who', 'at', 'waitd'" in text


def test_numbers_need_their_unit(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="neither unit nor format of the time column 'at'"):
        run(log(tmp_path, lines(1)), mapping(PLAIN.replace(", unit: s", "")))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x1f\x8b\x00junk", b"PAR1junkPAR1"])
def test_a_file_that_is_no_log_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError) as caught:
        run(path)
    assert caught.value.hint


def test_an_absent_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no job log"):
        run(tmp_path / "none.csv")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        run(tmp_path)


# --- Parquet -----------------------------------------------------------------------------------


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    path = log(tmp_path, lines(20_000))
    frame = pd.read_csv(path)
    frame.to_parquet(tmp_path / "log.parquet")
    drop = {"ids"}
    as_csv, as_parquet = run(path)[1], run(tmp_path / "log.parquet")[1]
    assert len({span["ids"] for span in as_parquet}) == 20_000

    def comparable(spans: list[dict[str, object]]) -> list[list[tuple[str, object]]]:
        return sorted(sorted((k, v) for k, v in span.items() if k not in drop) for span in spans)

    assert comparable(as_csv) == comparable(as_parquet)


@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_parquet_timestamps_need_no_unit(tmp_path: Path, zone: str | None) -> None:
    moment = dt.datetime(2023, 11, 15, 7, 13, 20)  # noqa: DTZ001 - naive on purpose
    columns = {"who": ["a", None], "waited": [1, 1], "ran": [2, 2], "end": ["good", "good"],
               "why": [None, None], "gpus": [1.0, float("nan")]}  # fmt: skip
    at = pa.array([moment, None], pa.timestamp("us"))
    if zone:
        at = pa.compute.assume_timezone(at, zone)
    parquet.write_table(pa.table({**columns, "at": at}), tmp_path / "log.parquet")
    text = PLAIN.replace("unit: s}", "zone: Asia/Tokyo}")
    summary, (span,) = run(tmp_path / "log.parquet", mapping(text))
    assert span["start"] == (1_700_000_000 + 1) * 10**9
    assert [(told.line, told.field) for told in summary.problems] == [(2, "time")]


# --- interruption ------------------------------------------------------------------------------


def test_a_resumed_replay_sends_only_what_was_not_acknowledged(tmp_path: Path) -> None:
    total = 10 * REQUEST_ROWS
    path = log(tmp_path, "broken\n" + lines(total))

    def gone_after_three(number: int, context: grpc.ServicerContext) -> None:
        if number > 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "stopped")

    state = ReplayState.of(path, mapping(), "somewhere", folder=tmp_path / "states")
    with receiving(Capture(gone_after_three)) as first:
        sender = OtlpSender(first.endpoint, max_in_flight=2, give_up_after_seconds=0.3)
        with pytest.raises(UnavailableError):
            replay(path, mapping(), sender, state=state)
        sender.close()
    done = ReplayState.of(path, mapping(), "somewhere", folder=tmp_path / "states")
    assert 0 < done.rows_done <= 3 * REQUEST_ROWS + 1
    with receiving() as second, OtlpSender(second.endpoint) as sender:
        summary = replay(path, mapping(), sender, state=done)
    assert summary.rows_resumed == state.rows_done
    assert summary.rows_sent == len(second.spans()) == total + 1 - state.rows_done
    sent = [span.span_id for capture in (first, second) for span in capture.spans()]
    assert len(set(sent)) == total
    # A finished replay starts over.
    assert not done.path.exists()
    assert ReplayState.of(path, mapping(), "somewhere", folder=tmp_path / "states").rows_done == 0


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    path = log(tmp_path, lines(3 * REQUEST_ROWS))
    seen: list[tuple[int, int | None]] = []
    with receiving() as capture, OtlpSender(capture.endpoint) as sender:
        replay(path, mapping(), sender, progress=lambda done, total: seen.append((done, total)))
    assert len(seen) == 3
    assert seen == sorted(seen)
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


def test_refusals_of_the_receiver_are_in_the_summary(tmp_path: Path) -> None:
    path = log(tmp_path, lines(10))
    with (
        receiving(Capture(lambda *_: "a span is odd")) as capture,
        OtlpSender(capture.endpoint) as sender,
    ):
        replay(path, mapping(), sender)
        summary = replay(path, mapping(), sender)
    assert (summary.rows_accepted, summary.rows_rejected) == (9, 1)
    assert summary.messages == ("a span is odd",)
