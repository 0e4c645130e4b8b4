"""docs/ingest.md is true: its example runs, its limits are the program's."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest
from ingest_support import SALT
from store_fixture import fresh_store

from analyzer_service.ingest import IngestSettings, Receiver, commit, values
from analyzer_service.ingest.settings import DEFAULT_MAX_BODY_BYTES
from analyzer_service.store.writer import RawWriter
from otel_instrumentation import semconv
from otel_instrumentation.privacy import pseudonym

PAGE = (Path(__file__).parents[2] / "docs" / "ingest.md").read_text()


def example() -> str:
    (block,) = re.findall(r"```bash\n(curl .*?)```", PAGE, re.DOTALL)
    return str(block)


def send(port: int) -> str:
    """Run the example as it stands; where curl is missing, send what it would send."""
    command = example().replace(":4318", f":{port}")
    if shutil.which("curl"):
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
        return done.stdout
    body = command[command.index("'\n{") + 1 : command.rindex("'")].encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/traces", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(response.read().decode())


def test_the_example_is_stored(tmp_path: Path) -> None:
    settings = IngestSettings("127.0.0.1:0", "127.0.0.1:0", salt=SALT)
    with fresh_store(tmp_path) as store:
        receiver = Receiver(RawWriter(store), settings=settings)
        receiver.start()
        answer = send(receiver.http_port)
        receiver.stop(1)
        found = store.query(
            "SELECT ServiceName, SpanName, Duration, SpanAttributes FROM otel_traces"
        )
    assert json.loads(answer) == {}
    ((service, name, duration, said),) = found
    assert (service, name, duration) == ("notebook", "submit job", 5 * 10**9)
    assert said["user.hash"] == pseudonym("alice", SALT)
    assert "user.id" not in said


@pytest.mark.parametrize(
    "fact",
    [
        f"more than {DEFAULT_MAX_BODY_BYTES // 1024**2} MiB",
        f"deeper than {values.MAX_NESTING} levels",
        f"waits {commit.QUEUE_WAIT_SECONDS:.0f} s",
        *(f"`{name}`" for name in semconv.RAW_IDENTITY_ATTRIBUTES),
        *(f"`http.request.header.{name}`" for name in semconv.IDENTITY_HEADERS),
    ],
)
def test_the_page_names(fact: str) -> None:
    assert fact in PAGE
