"""The command `diff`: why two versions differ, and in what."""

from __future__ import annotations

from dataclasses import asdict

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli import _options as options
from srlm_data.cli._options import manifest_record
from srlm_data.cli._terminal import say, say_json

DIFFERENT = 10  # the exit code that `--exit-code` gives


@click.command()
@click.argument("before", shell_complete=_completion.versions)
@click.argument("after", shell_complete=_completion.versions)
@options.number("-n", "--samples", least=0, default=3, help="Rows to show of each change.")
@click.option("--exit-code", is_flag=True, help=f"Exit with {DIFFERENT} if the rows differ.")
@options.as_json
@click.pass_context
def diff(
    context: click.Context, before: str, after: str, samples: int, exit_code: bool, as_json: bool
) -> None:
    """Show why two versions differ, and how.

    Compares columns, rows, scores, lengths and judges.
    """
    result = srlm_data.diff(before, after, samples=samples, store=context.obj)
    if as_json:
        sides = {"before": manifest_record(result.before), "after": manifest_record(result.after)}
        say_json(asdict(result) | sides)
    else:
        say(str(result))
    if exit_code and not result.equal:
        context.exit(DIFFERENT)
