"""The files of deploy/, read once, for the tests that hold them to what exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
COMPOSE = ("compose.yaml", "compose.embedded.yaml")
DOCKERFILES = ("Dockerfile", "Dockerfile.collector")
SCHEMA_VERSION = "1.37"
"""The Kubernetes release whose schemas the manifests are held to."""


def compose(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    return read


def compose_schema() -> Any:
    folder = files("check_jsonschema").joinpath("builtin_schemas/vendor")
    return json.loads(folder.joinpath("compose-spec.json").read_text(encoding="utf-8"))


def kustomization() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    return read


def manifests() -> list[dict[str, Any]]:
    return [
        document
        for name in kustomization()["resources"]
        for document in yaml.safe_load_all((KUBERNETES / name).read_text(encoding="utf-8"))
    ]


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    return [item for item in manifests() if item["kind"] in kinds]


def workloads() -> list[dict[str, Any]]:
    return of_kind("StatefulSet", "Deployment", "DaemonSet")


def containers() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield every container with its workload."""
    for workload in workloads():
        pod = workload["spec"]["template"]["spec"]
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            yield workload, container


def variables(container: dict[str, Any]) -> dict[str, str]:
    """Return a container's variables; those from elsewhere as where they come from."""
    found = {}
    for entry in container.get("env", ()):
        if "value" in entry:
            found[entry["name"]] = str(entry["value"])
        else:
            (source,) = entry["valueFrom"].values()
            found[entry["name"]] = (
                f"<{source.get('name', '')}:{source.get('key', source.get('fieldPath'))}>"
            )
    return found


def xml_files() -> list[Path]:
    return sorted(DEPLOY.rglob("*.xml"))


def xml(path: Path) -> ET.Element:
    return ET.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314 - our own files


def dockerfile(name: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile: the word and what follows, lines joined."""
    text = (DEPLOY / name).read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines)
    return [
        (word, rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]
