"""Records of the Hub: a part of a dataset, at the commit that a moving name first meant."""

from __future__ import annotations

import json
from pathlib import Path

from checkout import Cli
from commands import ran
from hub_repos import Hub, Repo
from srlm_data.store import Store

KEY = "datasets/ada/tea"
CARD = """\
---
configs:
- {config_name: black, data_files: black.jsonl}
- {config_name: green, data_files: green.jsonl}
---
"""


def push(hub: Hub, text: str) -> str:
    lines = {
        f"{kind}.jsonl": json.dumps({"prompt": f"{kind} {text}"}) for kind in ("black", "green")
    }
    files = {"README.md": CARD, **lines}
    return hub.push(KEY, {name: content.encode() for name, content in files.items()})


def asked(project: Path) -> list[str]:
    rows = Store(project / "store").version("mine.tea").dicts()
    return [row["prompt"][0]["content"] for row in rows]


def test_a_branch_is_looked_up_once_and_a_subset_is_read(cli: Cli, hub: Hub, project: Path) -> None:
    hub.repos[KEY] = Repo(private=False)
    hub.repos[KEY].commits["0" * 40], hub.repos[KEY].branches["main"] = {}, "0" * 40
    first = push(hub, "one")
    hub.repos[KEY].branches["v1"] = first
    recipe = project / "mine.yaml"
    recipe.write_text("datasets: {tea: {step: read_prompts, hub: ada/tea, subset: green}}")
    assert first[:8] in cli("plan", "mine.yaml").stdout + cli("plan", "mine.yaml").stderr
    built = cli("build", "mine.yaml")
    assert built.returncode == 0, built.stderr
    assert asked(project) == ["green one"]
    assert json.loads((project / "mine.lock").read_text())["pins"] == {
        "dataset/ada/tea@main": first
    }
    second = push(hub, "two")
    assert "0 of 1 datasets to build" in ran(cli("plan", "mine.yaml"))
    recipe.write_text(
        "datasets: {tea: {step: read_prompts, hub: ada/tea, subset: black, commit: v1}}"
    )
    assert cli("build", "mine.yaml").returncode == 0
    assert asked(project) == ["black one"]
    recipe.write_text(
        f"datasets: {{tea: {{step: read_prompts, hub: ada/tea, subset: black, commit: {second}}}}}"
    )
    assert cli("build", "mine.yaml").returncode == 0
    assert asked(project) == ["black two"]
