"""Declared judges, by the demo's M0 through transformers, from plan to card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import srlm_data
from checkout import Cli

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
pytest.importorskip("llguidance")

RECIPE = """\
engine: {kind: transformers}
datasets:
  m0: {step: 'srlm_data.demo.steps:pretrained_m0'}
  prompts: {step: read_prompts, files: [prompts.jsonl]}
  candidates:
    step: generate
    prompts: prompts
    model: m0
    n: 3
    max_tokens: 12
    cut_off: keep
    temperature: 1.2
"""
JUDGE = """\
  {name}:
    step: judge
    candidates: candidates
    model: m0
    repeats: 1
    max_tokens: 60
    guided: true
    judge: {name}.yaml
  {name}_pairs: {{step: pair, candidates: candidates, judgments: {name}}}
"""
PANEL = """\
  panel:
    step: combine_judges
    candidates: candidates
    judges: {ten: ten, korean: korean}
    scale: [0, 10]
  panel_pairs: {step: pair, candidates: candidates, judgments: panel}
"""
SHOWN = "Score the response.\n{prompt}\n<response>\n{response}\n</response>\n"
JUDGES = {
    "ten": ("{reader: json, scale: [0, 10], template: ten.txt}", SHOWN),
    "three": (
        "{reader: json, scale: [0, 10], criteria: {helpful: 2, honest: 1, brief: 1}, "
        "template: three.txt}",
        SHOWN,
    ),
    "given": (
        "{reader: json, scale: [0, 5], template: given.txt}",
        "Right: {reference}\nWhat counts: {rubric}\n" + SHOWN,
    ),
    "korean": (
        "{reader: json, field: 점수, scale: [1, 10], template: korean.txt}",
        "질문에 대한 답변을 채점하세요.\n{prompt}\n<response>\n{response}\n</response>\n점수:",
    ),
}


def test_declared_judges_of_a_real_model_go_from_plan_to_card(
    model_cli: Cli, project: Path
) -> None:
    words = ("lamp", "cart", "violet", "sledge")
    prompts = [
        {"prompt": f"Who owns the {word}?", "reference": "It is Anna.", "rubric": "It names one."}
        for word in words
    ]
    (project / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    for name, (settings, template) in JUDGES.items():
        (project / f"{name}.yaml").write_text(settings, encoding="utf-8")
        (project / f"{name}.txt").write_text(template, encoding="utf-8")
    judges = "".join(JUDGE.format(name=name) for name in JUDGES)
    (project / "mine.yaml").write_text(RECIPE + judges + PANEL)

    assert model_cli("plan", "mine.yaml").returncode == 0
    checked = model_cli("judge-check", "mine.yaml", "korean", "-n", "1", "--format", "json")
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["read"] == 1
    built = model_cli("build", "mine.yaml")
    assert built.returncode == 0, built.stderr

    def ask(query: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (
            srlm_data.sql(query, store=project / "store").to_arrow_table().to_pylist()
        )
        return rows

    judged = ask(
        "SELECT dataset, state, text, reference FROM all_judgments "
        "JOIN mine.candidates USING (candidate_id) WHERE dataset <> 'mine.panel'"
    )
    assert len(judged) == 4 * 12
    assert {row["state"] for row in judged} == {"parsed"}
    assert {row["reference"] for row in judged} == {"It is Anna."}
    assert all("reason" in json.loads(row["text"]) for row in judged)
    [row] = ask("SELECT min(score) AS low, max(score) AS high FROM mine.korean")
    assert 1 <= row["low"] <= row["high"] <= 10
    [row] = ask(
        "SELECT max(abs(whole.score - mean)) AS off FROM mine.three AS whole JOIN (SELECT "
        "candidate_id, sum(score * CASE criterion WHEN 'helpful' THEN 2 ELSE 1 END) / 4 AS mean "
        "FROM mine.three WHERE criterion IS NOT NULL GROUP BY ALL) USING (candidate_id) "
        "WHERE criterion IS NULL"
    )
    assert row["off"] < 1e-6
    for name in [*JUDGES, "panel"]:
        assert ask(f"SELECT count(*) > 0 AS some FROM mine.{name}_pairs") == [{"some": True}], name
    assert model_cli("report", "mine").returncode == 0
    for name in JUDGES:
        card = model_cli("publish", f"mine.{name}", "--repo", "me/judged", "--dry-run")
        assert card.returncode == 0, card.stderr
        assert "parsed 12" in card.stdout
