"""All commands as one program, and the one place where errors become lines and exit codes.

Each command module imports what it needs inside its function: ``--help`` loads no engine.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from analyzer_service.cli import (
    analyses,
    analyze,
    challenges,
    config,
    demo,
    judge,
    lives,
    migrate,
    replay,
    report,
    review,
    segment,
    segments,
    serve,
    signal_map,
    simulate,
    sql,
    status,
    users,
)
from analyzer_service.cli.signals import INTERRUPTED_EXIT
from analyzer_service.errors import AnalyzerError
from analyzer_service.server.outcomes import outcome_of

UNEXPECTED_EXIT: Final = 1

app = typer.Typer(
    name="mlp-analyzer",
    help="Find where the users of a machine-learning platform get stuck, and what they need.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback(invoke_without_command=True)
def _program(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        from otel_instrumentation import __version__  # noqa: PLC0415

        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


for _module in (
    demo,
    serve,
    simulate,
    replay,
    analyze,
    report,
    challenges,
    lives,
    review,
    users,
    segments,
    segment,
    judge,
    analyses,
    sql,
    status,
    migrate,
    config,
):
    app.command(_module.__name__.rpartition(".")[2])(_module.command)
app.add_typer(signal_map.app, name="signal-map")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; whatever goes wrong is one line on stderr."""
    # gRPC's own log lines would stand between the command's.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        code = app(
            list(sys.argv[1:] if arguments is None else arguments),
            prog_name="mlp-analyzer",
            standalone_mode=False,
        )
        sys.stdout.flush()
    except typer.TyperException as error:
        return _usage(error)
    except AnalyzerError as error:
        return _say(error)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED_EXIT
    except BrokenPipeError:
        # Whoever read us has enough, as `| head` does; the interpreter must not flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _say(
            AnalyzerError(
                f"Something unexpected happened: {type(error).__name__}: {error}",
                hint="MLP_ANALYZER_DEBUG=true shows where.",
            )
        )
    return code if isinstance(code, int) else 0


def _usage(error: typer.TyperException) -> int:
    typer.echo(f"error: {error.format_message()}", err=True)
    context = getattr(error, "ctx", None)
    typer.echo(f"hint: {context.command_path if context else 'mlp-analyzer'} --help", err=True)
    return error.exit_code


def _say(error: AnalyzerError) -> int:
    _show_traceback()
    typer.echo("error: " + " ".join(error.message.split()), err=True)
    if error.hint:
        typer.echo("hint: " + " ".join(error.hint.split()), err=True)
    return outcome_of(error)[1]


def _show_traceback() -> None:
    if os.environ.get("MLP_ANALYZER_DEBUG", "").lower() == "true":
        traceback.print_exc()
