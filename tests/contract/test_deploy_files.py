"""Everything deploy/ names exists: commands, options, variables, ports, files, users, tables."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest
import typer.main
import yaml
from collector_program import CONFIGURATIONS
from deploy_files import (
    COMPOSE,
    DEPLOY,
    DOCKERFILES,
    KUBERNETES,
    ROOT,
    SCHEMA_VERSION,
    compose,
    compose_schema,
    containers,
    dockerfile,
    kustomization,
    manifests,
    of_kind,
    variables,
    workloads,
    xml,
    xml_files,
)

import otel_instrumentation
from analyzer_service.cli.application import app
from analyzer_service.settings import Settings, variable
from analyzer_service.store.cluster import SETTINGS
from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.layout import shipped_layout
from analyzer_service.store.location import parse_location
from analyzer_service.store.statements import split_statements

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
SERVICE = {variable(name) for name in Settings.model_fields}
COLLECTOR = {
    name
    for path in CONFIGURATIONS.glob("*.yaml")
    for name in re.findall(r"\$\{env:([A-Z_]+)", path.read_text(encoding="utf-8"))
}
BUILDER = yaml.safe_load((CONFIGURATIONS / "builder.yaml").read_text(encoding="utf-8"))
DOCS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
DEFAULT_PORTS = {
    Settings.model_fields[name].default
    for name in ("grpc_port", "otlp_grpc_port", "otlp_http_port", "clickhouse_port", "web_port")
}
CLICKHOUSE_PORTS = {8123, 9000, 9009, 9181, 9182, 9234, 9363}
COLLECTOR_PORTS = {4317, 4318, 13133, 8888}
DDL_ONLY = ("alter_sync", "replication_wait", "distributed_ddl", "allow_replace")
"""Settings that only the service's own changes of tables need."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(f"chdb://{tmp_path_factory.mktemp('deploy')}") as store:
        yield store


def service_containers() -> list[tuple[str, str, list[str], dict[str, str]]]:
    """Name, image, arguments and variables of every container of compose and Kubernetes."""
    found = []
    for name in COMPOSE:
        for service, item in compose(name)["services"].items():
            given = {key: str(value) for key, value in item.get("environment", {}).items()}
            found.append((f"{name}:{service}", item["image"], item.get("command", []), given))
    for workload, container in containers():
        name = f"{workload['metadata']['name']}:{container['name']}"
        arguments = [*container.get("command", []), *container.get("args", [])]
        found.append((name, container["image"], arguments, variables(container)))
    return found


ALL = [pytest.param(*item, id=item[0]) for item in service_containers()]


# --- schemas ------------------------------------------------------------------------------
@pytest.mark.parametrize("name", COMPOSE)
def test_compose_files_follow_the_specification(name: str) -> None:
    jsonschema.validate(compose(name), compose_schema())


def test_the_compose_schema_can_fail() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"services": {"a": {"image": "a:1", "prots": []}}}, compose_schema())


@pytest.mark.parametrize(
    "manifest", manifests(), ids=lambda item: f"{item['kind']}-{item['metadata']['name']}"
)
def test_manifests_follow_kubernetes_schemas(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, SCHEMA_VERSION, strict=True)


def test_the_kubernetes_schema_can_fail() -> None:
    bad = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"prots": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(bad, SCHEMA_VERSION, strict=True)


def test_the_kustomization_lists_every_file() -> None:
    listed = kustomization()
    present = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(listed["resources"]) == present
    made = [name for entry in listed["configMapGenerator"] for name in entry["files"]]
    assert {KUBERNETES / name for name in made} == set((KUBERNETES / "clickhouse").glob("*"))
    named = {entry["name"] for entry in listed["configMapGenerator"]}
    used = {
        volume["configMap"]["name"]
        for workload in workloads()
        for volume in workload["spec"]["template"]["spec"].get("volumes", ())
        if "configMap" in volume
    }
    assert used == named


# --- images -------------------------------------------------------------------------------
def own_images() -> dict[str, str]:
    return {
        "mlp-analyzer": otel_instrumentation.__version__,
        "otelcol-mlp": BUILDER["dist"]["version"],
    }


@pytest.mark.parametrize(("name", "image", "arguments", "given"), ALL)
def test_images_are_pinned(name: str, image: str, arguments: Any, given: Any) -> None:
    base, _, tag = image.partition(":")
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.\d+)?", tag)
    assert tag == own_images().get(base, tag)


def test_one_clickhouse_everywhere() -> None:
    tags = {image for _, image, _, _ in service_containers() if image.startswith("clickhouse/")}
    assert len(tags) == 1
    assert {entry["name"]: entry["newTag"] for entry in kustomization()["images"]} == own_images()


@pytest.mark.parametrize("name", DOCKERFILES)
def test_base_images_are_pinned_and_users_are_not_root(name: str) -> None:
    instructions = dockerfile(name)
    bases = [rest.split()[0] for word, rest in instructions if word == "FROM"]
    assert len(bases) == 2
    assert all(re.search(r":\d+\.\d+(\.\d+)?-[a-z-]+$", base) for base in bases)
    assert [rest for word, rest in instructions if word == "USER"] == ["10001:10001"]
    assert next(word for word, _ in reversed(instructions) if word in ("USER", "FROM")) == "USER"


def test_the_image_has_the_python_the_tests_run() -> None:
    [base, _] = [rest for word, rest in dockerfile("Dockerfile") if word == "FROM"]
    assert base.startswith("python:3.11.")


def allowed_by_dockerignore(path: str) -> bool:
    sent = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and (
            fnmatch.fnmatch(path, pattern) or path.startswith(pattern + "/")
        ):  # fmt: skip
            sent = line.startswith("!")
    return sent


@pytest.mark.parametrize("name", DOCKERFILES)
def test_copied_files_exist_and_are_sent_to_the_builder(name: str) -> None:
    copied = [
        source
        for word, rest in dockerfile(name)
        if word == "COPY" and "--from" not in rest
        for source in [part for part in rest.split() if not part.startswith("--")][:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert allowed_by_dockerignore(source), source


def test_the_wheel_is_made_of_what_is_copied() -> None:
    copied = " ".join(rest for word, rest in dockerfile("Dockerfile") if word == "COPY")
    for needed in ("otel_instrumentation", "analyzer_service", "clickhouse", "README.md"):
        assert needed in copied
    project = (ROOT / "pyproject.toml").read_text()
    assert 'mlp-analyzer = "analyzer_service.cli:main"' in project
    tools = {"build", "uv", "hatchling", "editables"}
    lock = (ROOT / "requirements.lock").read_text()
    assert all(re.search(rf"^{tool}==", lock, re.M) for tool in tools)


def test_the_service_image_starts_the_service() -> None:
    last = dict(dockerfile("Dockerfile"))
    assert json.loads(last["ENTRYPOINT"]) == ["mlp-analyzer"]
    assert json.loads(last["CMD"])[0] in COMMANDS
    assert set(map(int, last["EXPOSE"].split())) == DEFAULT_PORTS
    assert f"127.0.0.1:{Settings.model_fields['grpc_port'].default}" in last["HEALTHCHECK"]
    assert last["VOLUME"] in last["ENV"]


def test_the_collector_image_has_every_configuration() -> None:
    instructions = dict(dockerfile("Dockerfile.collector"))
    copied = set(re.findall(r"collector-config/([a-z]+\.yaml)", instructions["COPY"]))
    assert copied == {path.name for path in CONFIGURATIONS.glob("*.yaml")} - {"builder.yaml"}
    for part in (*json.loads(instructions["ENTRYPOINT"]), *json.loads(instructions["CMD"])):
        if part.startswith("/"):
            assert Path(part).name in copied


# --- commands, variables, ports -----------------------------------------------------------
@pytest.mark.parametrize(("name", "image", "arguments", "given"), ALL)
def test_commands_and_options_exist(
    name: str, image: str, arguments: list[str], given: dict[str, str]
) -> None:
    if image.startswith("mlp-analyzer:"):
        command = COMMANDS[arguments[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {part for part in arguments if part.startswith("--")} <= options
    if image.startswith("otelcol-mlp:") and arguments[:1] != ["chown"]:
        configurations = [Path(part).name for part in arguments if part.endswith(".yaml")]
        assert all((CONFIGURATIONS / part).exists() for part in configurations)


@pytest.mark.parametrize(("name", "image", "arguments", "given"), ALL)
def test_variables_exist(name: str, image: str, arguments: Any, given: dict[str, str]) -> None:
    known = {
        "mlp-analyzer": SERVICE | {"MLP_CLICKHOUSE_ANALYZER_PASSWORD"},
        "otelcol-mlp": COLLECTOR,
    }
    allowed = known.get(
        image.partition(":")[0], from_environment() | {"CLICKHOUSE_SKIP_USER_SETUP"}
    )
    assert set(given) <= allowed


@pytest.mark.parametrize(
    "name", [name for name, image, _, _ in service_containers() if "analyzer:" in image]
)
def test_the_service_accepts_its_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (given,) = [given for each, _, _, given in service_containers() if each == name]
    for key, value in given.items():
        filled = re.sub(r"\$\{[^}]+\}|\$\([^)]+\)|<[^>]+>", "0123456789abcdef", value)
        monkeypatch.setenv(key, filled)
    settings = Settings.load()
    assert settings.host == "0.0.0.0"  # noqa: S104 - within the container
    location = parse_location(settings.store)
    assert location.embedded or (location.database, settings.cluster) == ("mlp", "mlp")


def test_ports_are_the_defaults() -> None:
    for _, container in containers():
        declared = {port["containerPort"] for port in container.get("ports", ())}
        image = container["image"].partition(":")[0]
        expected = {"mlp-analyzer": DEFAULT_PORTS, "otelcol-mlp": COLLECTOR_PORTS}
        assert declared <= expected.get(image, CLICKHOUSE_PORTS), container["name"]
    for name in COMPOSE:
        for service in compose(name)["services"].values():
            for published in service.get("ports", ()):
                address, host, inside = published.rsplit(":", 2)
                assert address == "127.0.0.1"
                assert host == inside
                assert int(inside) in DEFAULT_PORTS


def test_services_and_policies_reach_what_listens() -> None:
    listening: dict[str, set[int]] = {}
    for workload in workloads():
        labels = workload["spec"]["template"]["metadata"]["labels"]
        for container in workload["spec"]["template"]["spec"]["containers"]:
            ports = {port["containerPort"] for port in container["ports"]}
            listening.setdefault(labels["app"], set()).update(ports)
    for service in of_kind("Service"):
        ports = {port["port"] for port in service["spec"]["ports"]}
        assert ports <= listening[service["spec"]["selector"]["app"]]
    opened: dict[str, set[int]] = {}
    for policy in of_kind("NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        apps = [selector["matchLabels"]["app"]] if "matchLabels" in selector else []
        apps += [app for each in selector.get("matchExpressions", ()) for app in each["values"]]
        for rule in policy["spec"].get("ingress", ()):
            for label in apps:
                opened.setdefault(label, set()).update(port["port"] for port in rule["ports"])
    probes = {"health": 13133, "control": 9182}
    for label, ports in listening.items():
        assert ports - set(probes.values()) <= opened[label], label


def test_probes_ask_ports_that_are_there() -> None:
    for _, container in containers():
        names = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            for way, probe in container.get(kind, {}).items():
                if way in ("httpGet", "tcpSocket"):
                    assert probe["port"] in names
                if way == "grpc":
                    assert probe["port"] in names.values()
    assert all("readinessProbe" in item for _, item in containers() if item.get("ports"))


def test_every_container_says_what_it_needs_and_that_it_is_not_root() -> None:
    for workload, container in containers():
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        pod = workload["spec"]["template"]["spec"]["securityContext"]
        own = container.get("securityContext", {})
        if container["name"] != "queue-owner":
            assert own.get("runAsNonRoot", pod.get("runAsNonRoot")) is True


def test_budgets_select_what_is_replicated() -> None:
    budgets = [item["spec"]["selector"]["matchLabels"] for item in of_kind("PodDisruptionBudget")]
    for workload in of_kind("StatefulSet"):
        assert workload["spec"]["selector"]["matchLabels"] in budgets


def test_queues_fit_on_their_volumes() -> None:
    for workload in of_kind("StatefulSet"):
        for container in workload["spec"]["template"]["spec"]["containers"]:
            queue = variables(container).get("MLP_COLLECTOR_QUEUE_BYTES")
            if queue:
                [claim] = workload["spec"]["volumeClaimTemplates"]
                size = claim["spec"]["resources"]["requests"]["storage"]
                # Traces and logs have a queue each, and compaction writes a second file.
                assert int(queue) * 2 * 1.5 < int(size.removesuffix("Gi")) * 2**30


def test_secrets_are_named_in_the_docs() -> None:
    wanted = {
        (found.group(1), found.group(2))
        for _, _, _, given in service_containers()
        for value in given.values()
        for found in re.finditer(r"<([\w-]+):([A-Z_]+)>", value)
    }
    assert wanted
    for secret, key in wanted:
        assert f"create secret generic {secret}" in DOCS
        assert f"--from-literal={key}=" in DOCS
    sample = (DEPLOY / "example.env").read_text()
    required = set(re.findall(r"\$\{([A-Z_]+):\?\}", (DEPLOY / "compose.yaml").read_text()))
    assert required == set(re.findall(r"^([A-Z_]+)=$", sample, re.M))
    # In clear text: none.
    assert "password=" not in (DEPLOY / "compose.yaml").read_text().lower().replace("_password", "")


# --- ClickHouse ---------------------------------------------------------------------------
def from_environment() -> set[str]:
    return {
        element.attrib["from_env"]
        for path in xml_files()
        for element in xml(path).iter()
        if "from_env" in element.attrib
    } | {"MLP_CLICKHOUSE_ANALYZER_PASSWORD"}


@pytest.mark.parametrize("path", xml_files(), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_configuration_is_well_formed(path: Path) -> None:
    assert xml(path).tag == "clickhouse"


def test_every_value_from_the_environment_is_given() -> None:
    kubernetes = {name for _, container in containers() for name in variables(container)}
    kubernetes |= set(re.findall(r"--from-literal=([A-Z_]+)=", DOCS)) | {"MLP_KEEPER_ID"}
    assert from_environment() <= kubernetes
    given = compose("compose.yaml")["services"]["clickhouse"]["environment"]
    used = {
        element.attrib["from_env"]
        for path in (DEPLOY / "clickhouse" / "cluster.xml", KUBERNETES / "clickhouse" / "users.xml")
        for element in xml(path).iter()
        if "from_env" in element.attrib
    }
    assert used <= given.keys()


def replicas(path: Path) -> list[list[tuple[str, int]]]:
    (cluster,) = list(xml(path).find("remote_servers") or ())
    assert cluster.tag == "mlp"
    return [
        [
            (item.findtext("host", ""), int(item.findtext("port", "")))
            for item in shard.iter("replica")
        ]
        for shard in cluster.findall("shard")
    ]


def pods(name: str) -> list[str]:
    (found,) = [item for item in of_kind("StatefulSet") if item["metadata"]["name"] == name]
    spec = found["spec"]
    return [f"{name}-{number}.{spec['serviceName']}" for number in range(spec["replicas"])]


def test_the_cluster_is_made_of_the_pods() -> None:
    shards = replicas(KUBERNETES / "clickhouse" / "cluster.xml")
    assert [[host for host, _ in shard] for shard in shards] == [
        pods("clickhouse-s1"),
        pods("clickhouse-s2"),
    ]
    assert [len(shard) for shard in shards] == [3, 3]
    assert {port for shard in shards for _, port in shard} == {9000}
    keepers = pods("keeper")
    root = xml(KUBERNETES / "clickhouse" / "cluster.xml")
    assert [node.text for node in root.findall("zookeeper/node/host")] == keepers
    keeper = xml(KUBERNETES / "clickhouse" / "keeper.xml")
    servers = keeper.findall("keeper_server/raft_configuration/server")
    assert [server.findtext("hostname") for server in servers] == keepers
    assert [server.findtext("id") for server in servers] == ["1", "2", "3"]


def test_one_machine_is_a_cluster_of_its_own() -> None:
    names = set(compose("compose.yaml")["services"])
    [[(host, _)]] = replicas(DEPLOY / "clickhouse" / "cluster.xml")
    keeper = xml(DEPLOY / "clickhouse" / "cluster.xml").findtext("zookeeper/node/host")
    assert {host, keeper} <= names


@pytest.mark.parametrize(
    "path",
    [path for path in xml_files() if path.name == "cluster.xml"],
    ids=lambda path: path.parent.name,
)
def test_servers_have_what_replicated_tables_need(path: Path) -> None:
    root = xml(path)
    macros = {element.tag for element in root.find("macros") or ()}
    assert macros == {"shard", "replica"}
    assert root.findtext("distributed_ddl/path")
    assert root.findtext("interserver_http_port") == "9009"
    assert {element.text for element in root.iter("internal_replication")} == {"true"}
    assert root.find("remote_servers/mlp/secret") is not None


def test_the_stores_of_service_and_gateways_agree() -> None:
    hosts = {service["metadata"]["name"] for service in of_kind("Service")}
    hosts |= set(compose("compose.yaml")["services"])
    users = {
        element.tag for element in xml(KUBERNETES / "clickhouse" / "users.xml").find("users") or ()
    }
    for _, _, _, given in service_containers():
        if "MLP_COLLECTOR_CLICKHOUSE" in given:
            assert urlsplit(given["MLP_COLLECTOR_CLICKHOUSE"]).hostname in hosts
            assert given["MLP_COLLECTOR_CLICKHOUSE_DATABASE"] == "mlp"
            assert given["MLP_COLLECTOR_CLICKHOUSE_USER"] in users
        if "MLP_COLLECTOR_GATEWAY" in given:
            host, namespace = given["MLP_COLLECTOR_GATEWAY"].rsplit(":", 1)[0].split(".")
            assert (host in hosts, namespace) == (True, kustomization()["namespace"])
        store = given.get("MLP_ANALYZER_STORE", "")
        if store:
            assert store.startswith("clickhouse://analyzer:")
            assert store.rsplit("@", 1)[1] == "clickhouse:8123/mlp"


def test_profiles_set_what_exists(engine: Store) -> None:
    known = {name for (name,) in engine.query("SELECT name FROM system.settings")}
    root = xml(KUBERNETES / "clickhouse" / "users.xml")
    for profile in root.find("profiles") or ():
        names = {element.tag for element in profile} - {"profile", "constraints"}
        assert names <= known
        assert {element.tag for element in profile.find("constraints") or ()} <= known


def test_the_profile_has_what_the_service_sends() -> None:
    profile = xml(KUBERNETES / "clickhouse" / "users.xml").find("profiles/mlp_cluster")
    given = {element.tag: element.text for element in profile or ()}
    for name, value in SETTINGS:
        if not name.startswith(DDL_ONLY):
            assert given.get(name) == str(value), name


def test_rights_are_about_what_exists(engine: Store) -> None:
    grants = [
        element.text or "" for element in xml(KUBERNETES / "clickhouse" / "users.xml").iter("query")
    ]
    tables = {name for table in shipped_layout().tables for name in (table, f"{table}_local")}
    assert grants
    for grant in grants:
        engine.query("SELECT formatQuerySingleLine({q:String})", {"q": f"{grant} TO somebody"})
        for table in re.findall(r"ON mlp\.(\w+)", grant):
            assert table in tables


def test_logs_of_the_server_do_not_grow_for_ever(engine: Store) -> None:
    for log in xml(KUBERNETES / "clickhouse" / "system_logs.xml"):
        assert log.tag.endswith("_log")
        if log.get("remove") != "1":
            engine.query(
                "SELECT formatQuerySingleLine({q:String})",
                {
                    "q": f"CREATE TABLE t (event_date Date) ENGINE = MergeTree ORDER BY () TTL {log.findtext('ttl')}"
                },
            )


# --- docs/operations.md -------------------------------------------------------------------
def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS, re.S)


def test_every_statement_of_the_docs_parses(engine: Store) -> None:
    statements = [one for block in blocks("sql") for one in split_statements(block)]
    inline = re.findall(r"`(SELECT [^`]+)`", DOCS)
    assert len(statements) >= 6
    assert len(inline) >= 4
    for statement in (*statements, *inline):
        engine.query("SELECT formatQuerySingleLine({q:String})", {"q": statement})


def test_every_command_of_the_docs_exists() -> None:
    text = "\n".join(blocks("sh")) + "\n".join(re.findall(r"`(mlp-analyzer [^`]+)`", DOCS))
    calls = re.findall(r"\bmlp-analyzer ([a-z-]+)([^\n]*)", text)
    commands = [(name, rest) for name, rest in calls if name in COMMANDS]
    assert {"migrate", "status"} <= {name for name, _ in commands}
    for name, rest in commands:
        command = COMMANDS[name]
        options = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, name


def test_every_variable_of_the_docs_exists() -> None:
    named = set(re.findall(r"\bMLP_(?:ANALYZER|COLLECTOR)_[A-Z_]+\b", DOCS))
    assert named
    assert named <= SERVICE | COLLECTOR


def test_the_docs_count_with_what_was_measured() -> None:
    stores = json.loads((ROOT / "benchmarks" / "results" / "storage.json").read_text())["stores"]
    platform, jobs = stores
    for key in (
        "raw_bytes_per_signal",
        "signal_bytes",
        "settled_bytes_per_signal",
        "result_bytes_per_user_and_analysis",
    ):
        assert f"| {platform[key]} | {jobs[key]} |" in DOCS, key
    kept = 60e9 * (platform["raw_bytes_per_signal"] + platform["signal_bytes"]) / 1e12
    assert f"| {kept:.1f} TB |" in DOCS
    assert f"| {120e9 * platform['settled_bytes_per_signal'] / 1e12:.1f} TB a year |" in DOCS
