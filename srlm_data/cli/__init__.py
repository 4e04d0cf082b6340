"""Floor 8. The command line, one file per command: it parses, calls the Python API and prints.

A command imports what it needs when it runs: `srlm-data --help` must not wait for DuckDB.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from gc import set_threshold
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import click

from srlm_data.cli._completion import answer_shell
from srlm_data.cli._stopping import Terminated, hear_ctrl_c, stopped
from srlm_data.cli._streams import open_streams, silence_output
from srlm_data.cli._terminal import say, say_error, say_state
from srlm_data.cli.build import build
from srlm_data.cli.cost import cost
from srlm_data.cli.diff import diff
from srlm_data.cli.doctor import doctor
from srlm_data.cli.eval import evaluate
from srlm_data.cli.export import export
from srlm_data.cli.gc import gc
from srlm_data.cli.init import init
from srlm_data.cli.judge_check import judge_check
from srlm_data.cli.lineage import lineage
from srlm_data.cli.log import log
from srlm_data.cli.ls import ls
from srlm_data.cli.plan import plan
from srlm_data.cli.publish import publish
from srlm_data.cli.pull import pull
from srlm_data.cli.report import report
from srlm_data.cli.review import review
from srlm_data.cli.rm import rm
from srlm_data.cli.show import show
from srlm_data.cli.sql import sql
from srlm_data.cli.steps import steps
from srlm_data.cli.tag import tag
from srlm_data.cli.verify import verify
from srlm_data.cli.view import view
from srlm_data.core.controls import is_text
from srlm_data.core.errors import SrlmError

EXIT_CODES = """\b
Exit codes:
  0  done
  1  a bug in srlm-data, or in a step or engine of your own (with a traceback)
  2  the recipe or the command line is wrong
  3  rows break a rule or cannot be read; a step made no rows; a query is wrong
  4  a version is missing or damaged, the store cannot be used, a file cannot be written
  5  another process is using the store (--no-wait, gc --delete, verify --quarantine)
  6  text generation cannot start or continue, or answers are missing at the end
  7  a training run was refused or failed
  8  an optional package is not installed
  9  the Hub refused, failed, or holds something other than what was published
  10  the rows of two versions differ (diff --exit-code)
  11  a limit was reached (build --max-calls, --max-tokens, --max-time)
  130, 143  stopped by Ctrl-C or SIGTERM; build again to continue
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.version_option(package_name="srlm-data")
@click.option(
    "--store",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SRLM_STORE",
    default="store",
    show_default=True,
    help="Folder that holds all versions (or set SRLM_STORE).",
)
@click.pass_context
def cli(context: click.Context, root: Path) -> None:
    """Turn a small human seed into preference data that a model generates and judges itself."""
    for word in sys.argv[1:]:
        # A terminal in another encoding sends such bytes, but a file may have this name.
        if not is_text(word) and not os.path.lexists(word):
            raise click.UsageError(f"{word!r} is not UTF-8 text. Encode it as UTF-8.")
    try:
        Path.cwd()
    except FileNotFoundError:
        raise click.UsageError("the working folder is gone. Change to another one.") from None
    context.obj = root


COMMANDS = [
    *(build, evaluate, plan, judge_check),
    *(ls, show, log, cost, sql, diff, lineage, report, view, review),
    *(verify, tag, rm, gc, publish, pull, export),
    *(steps, init, doctor),
]
for command in COMMANDS:
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line; an expected failure is one sentence and an exit code."""
    open_streams()
    hear_ctrl_c()
    sys.excepthook = _bug
    answer_shell(cli)
    logging.getLogger("srlm_data").addHandler(_Notes(logging.WARNING))
    _make_room_for_rows()
    code = 0
    try:
        # Not cli(): click exits with 1 at a closed pipe, and 1 is our exit code for a bug.
        with cli.make_context("srlm-data", sys.argv[1:]) as context:
            cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as done:  # after --help and --version
        code = done.exit_code
    except click.ClickException as error:
        code = _click_says(error)
    except SrlmError as error:
        code = _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, Terminated):
        code = _fail(*stopped())
    except BrokenPipeError:  # the reader of our output has closed it
        silence_output()
    except Exception as error:  # noqa: BLE001 - raised again unless the machine refused something
        code = _machine_refuses(error)
    sys.exit(code)


class _Notes(logging.Handler):
    """Prints each warning of the package on a line."""

    def emit(self, record: logging.LogRecord) -> None:
        from srlm_data.core.redaction import redacted

        say_state(f"note: {redacted(record.getMessage())}", err=True)


def _make_room_for_rows() -> None:
    """Set Python's garbage collector and Arrow's allocator for hundreds of thousands of rows.

    Rows are in no reference cycles: to look for cycles at Python's rate takes a fifth of a build.
    For batches, which are soon freed, the system's allocator holds less memory than Arrow's own.
    """
    set_threshold(100_000, 50, 100)
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def _fail(sentence: str, code: int) -> int:
    say_error(sentence)
    return code


def _machine_refuses(error: Exception) -> int:
    """Report what the machine refuses, such as one more file or thread; raise any other error."""
    from srlm_data.core.filesystem import describe_refusal

    if isinstance(error, RuntimeError) and str(error) == "Query interrupted":
        return _fail(*stopped())  # how DuckDB sometimes reports a signal
    refusal = describe_refusal(error, "srlm-data")
    if refusal is None:
        raise error
    return _fail(str(refusal), refusal.exit_code)


def _click_says(error: click.ClickException) -> int:
    from srlm_data.core.redaction import redacted

    text = io.StringIO()
    error.show(text)
    usage, word, sentence = redacted(text.getvalue()).partition("Error: ")
    say(usage, nl=False, err=True)
    if word:
        say_state(f"{word}{sentence}".rstrip("\n"), err=True)
    return 2


def _bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback as Python does, with keys and tokens redacted."""
    from traceback import format_exception

    from srlm_data.core.redaction import redacted

    text = "".join(format_exception(kind, error, trace))
    say(redacted(text), nl=False, err=True)
