"""The docs name every method, command, option, setting and error there is, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import typer.main

from analyzer_service.api.v1 import analyzer_pb2 as pb
from analyzer_service.cli.application import app
from analyzer_service.errors import OUTCOMES
from analyzer_service.server.access import AUDITED, METHOD_ROLES
from analyzer_service.settings import Settings, variable

DOCS = Path(__file__).parents[2] / "docs"
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
SHARED = {"--help"}


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(name: str) -> Iterator[list[str]]:
    for line in text(name).splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_every_method_with_its_role() -> None:
    documented = {cells[0].strip("`"): cells[1] for cells in rows("api.md") if len(cells) == 3}
    methods = [method.name for method in pb.DESCRIPTOR.services_by_name["AnalyzerService"].methods]
    assert {name: documented.get(name) for name in methods} == {
        name: METHOD_ROLES[name] + (", audited" if name in AUDITED else "") for name in methods
    }


def test_every_error_with_status_and_exit_code() -> None:
    documented = {cells[0].strip("`"): (cells[1], cells[2]) for cells in rows("api.md")}
    for kind, (status, code) in OUTCOMES.items():
        assert documented.get(kind.reason) == (status, str(code)), kind


def sections() -> dict[str, str]:
    parts = re.split(r"^## `([\w-]+)[^`]*`$", text("cli.md"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_has_a_section_and_no_other() -> None:
    assert list(sections()) == list(COMMANDS)


def test_every_option_is_in_its_commands_section_and_no_other() -> None:
    for name, command in COMMANDS.items():
        options = {
            option
            for one in (command, *getattr(command, "commands", {}).values())
            for parameter in one.params
            for option in (*parameter.opts, *parameter.secondary_opts)
            if option.startswith("--")
        } - SHARED
        table = "\n".join(line for line in sections()[name].splitlines() if line.startswith("| `"))
        documented = set(re.findall(r"`(--[a-z-]+)", table))
        assert documented == options, name


def test_every_setting_with_its_default_and_meaning() -> None:
    documented = {cells[0].strip("`"): cells for cells in rows("configuration.md")}
    assert set(documented) == {variable(name) for name in Settings.model_fields}
    for name, info in Settings.model_fields.items():
        _, default, meaning = documented[variable(name)]
        assert meaning == info.description
        if isinstance(info.default, int | str) and not isinstance(info.default, bool):
            assert default == f"`{info.default}`", name
        if isinstance(info.default, tuple):
            assert default == (f"`{','.join(info.default)}`" if info.default else "none"), name


def test_every_variable_that_any_page_names_exists() -> None:
    known = {variable(name) for name in Settings.model_fields}
    for page in ("api.md", "cli.md", "configuration.md"):
        named = set(re.findall(r"MLP_ANALYZER_[A-Z_]*[A-Z]", text(page)))
        assert named - known <= {"MLP_ANALYZER_QUERY"}, page
