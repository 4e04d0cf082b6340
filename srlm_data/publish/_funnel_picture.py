"""Draw the funnel for the card: what came into each step, what was kept, what was left out.

The SVG has a few kilobytes and its own background, so that it can be read on a light page and on a
dark one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from srlm_data.report.funnel import Step

_STEPS: Final = 12
"""At most so many steps are drawn, the last ones."""

_REASONS: Final = 3
"""At most so many reasons are named for a step, the most frequent ones."""

_TOP, _ROW, _WIDTH, _BAR_LEFT, _BAR = 54, 70, 800, 190, 400

_STYLE: Final = """\
  svg { --ground: #fff; --ink: #1b1f23; --muted: #59636e; --pale: #c9d3dc; --bar: #0a6cb5 }
  @media (prefers-color-scheme: dark) {
    svg { --ground: #1c2024; --ink: #e8eaed; --muted: #a3adb8; --pale: #46505b; --bar: #5aaeec }
  }
  text { font: 14px system-ui, sans-serif; fill: var(--ink) }
  .small { font-size: 12px; fill: var(--muted) }
  .ground { fill: var(--ground); stroke: var(--pale) }
  .came { fill: var(--pale) } .kept { fill: var(--bar) }
"""


def describe(steps: Sequence[Step]) -> str:
    """Return the picture's description in words."""
    return ", ".join(f"{step.kept:,} {step.unit}" for step in steps[-_STEPS:])


def draw(steps: Sequence[Step]) -> str:
    """Return the picture as the text of an SVG file."""
    drawn = steps[-_STEPS:]
    height = _TOP + _ROW * len(drawn)
    title = "How many rows each step kept; the pale part was dropped"
    if len(drawn) < len(steps):
        title += f"; the last {len(drawn)} of {len(steps)} steps"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{describe(steps)}</title>",
        f"<style>\n{_STYLE}</style>",
        f'<rect class="ground" x="1" y="1" width="{_WIDTH - 2}" height="{height - 2}" rx="8"/>',
        _text(20, 30, title, "small"),
    ]
    for number, step in enumerate(drawn):
        lines += _row(_TOP + _ROW * number, step)
    return "\n".join([*lines, "</svg>\n"])


def _row(top: int, step: Step) -> list[str]:
    name, _, version = step.ref.partition("@")
    each = f"{step.fan:,.3g} for each of those above" if step.fan and step.fan > 1 else ""
    reasons = list(step.drops.items())
    left_out = [f"{count:,} {_short(reason, 28)}" for reason, count in reasons[:_REASONS]]
    if others := sum(count for _, count in reasons[_REASONS:]):
        left_out.append(f"{others:,} for other reasons")
    reason = _short(f"left out: {'; '.join(left_out)}", 90) if left_out else ""
    share = round(_BAR * step.share(step.kept), 1)
    return [
        _text(20, top + 13, step.unit),
        _text(20, top + 30, _short(name, 24), "small"),
        _text(20, top + 45, f"@{version[:8]}", "small"),
        f'<rect class="came" x="{_BAR_LEFT}" y="{top}" width="{_BAR}" height="18"/>',
        f'<rect class="kept" x="{_BAR_LEFT}" y="{top}" width="{share}" height="18"/>',
        _text(_BAR_LEFT + _BAR + 12, top + 14, f"{step.kept:,} of {step.came:,}"),
        _text(_BAR_LEFT + _BAR + 12, top + 30, each, "small"),
        _text(_BAR_LEFT, top + 45, reason, "small"),
    ]


def _text(x: int, y: int, text: str, style: str = "") -> str:
    return f'<text class="{style}" x="{x}" y="{y}">{escape(text)}</text>' if text else ""


def _short(text: str, characters: int) -> str:
    """Return a text on one line, cut; the name of a reason may come from a plug-in step."""
    text = "".join(character for character in text if character.isprintable())
    return text if len(text) <= characters else f"{text[: characters - 1]}…"
