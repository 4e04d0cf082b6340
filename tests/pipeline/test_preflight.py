"""What stands in the way of a build is found before anything is paid for, all of it at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import api_server
import toy
from api_server import Api
from checkout import ROOT, Cli
from commands import one_sentence
from hub_repos import Hub, Repo
from srlm_data.core import packages
from srlm_data.core.errors import SrlmError
from srlm_data.pipeline import _preflight as preflight
from srlm_data.pipeline._preflight import find_problems
from srlm_data.pipeline.build import Watcher, build
from srlm_data.pipeline.plan import plan
from srlm_data.pipeline.recipe import load
from srlm_data.store import Store


@pytest.fixture
def model() -> Path:
    """The demo's base model, whose files come with the package."""
    return ROOT / "srlm_data" / "demo" / "m0"


@pytest.fixture
def api() -> Iterator[Api]:
    with api_server.serve() as served:
        yield served


def write(folder: Path, engine: str, *datasets: str) -> Path:
    """Write a recipe, a dataset a line."""
    lines = "".join(f"  {line}\n" for line in datasets)
    file = folder / "first.yaml"
    file.write_text(f"engine: {engine}\ndatasets:\n{lines}")
    return file


ASK = "candidates: {step: generate, prompts: prompts, model: model}"
REMOTE = "model: {step: checkpoint, remote: big@2026-04-14}"
READ = "prompts: {step: read_prompts, files: [prompts.jsonl]}"


def problems_of(recipe: Path, *, network: bool = False) -> list[SrlmError]:
    store = Store(recipe.parent / "store")
    found = find_problems(plan(load(recipe), store), store, network=network)
    assert all(problem.certain for problem in found)
    return [problem.error for problem in found]


def test_every_mistake_is_told_at_once_and_nothing_is_asked_or_built(
    api: Api, cli: Cli, project: Path
) -> None:
    (project / "prompts.jsonl").write_text(json.dumps({"weird": "Why?"}) + "\n")
    engine = f"{{kind: openai, base_url: '{api.address}', served_name: small}}"
    tuned = "tuned: {step: sft, model: model, data: [examples]}"
    examples = "examples: {step: read_examples, files: [prompts.jsonl]}"
    write(project, engine, REMOTE, READ, ASK, examples, tuned)
    built = cli("build", "first.yaml")
    assert built.returncode == 7
    train, serve, prompts, other = built.stderr.splitlines()
    assert "'sft' trains or reads the files of 'remote:big@2026-04-14'" in train
    assert "does not serve 'small', it serves 'served', 'big'" in serve
    assert "--no-preflight is for a server that does not list it" in serve
    assert "prompts.jsonl:1: there is no column 'prompt', found ['weird']" in prompts
    assert "prompts.jsonl:1: there is no column 'completion'" in other
    assert not api.bodies
    assert not (project / "store" / "datasets").exists()


def test_a_server_that_cannot_be_reached_is_told_and_no_preflight_does_not_look(
    tmp_path: Path,
) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    engine = "{kind: openai, base_url: 'http://127.0.0.1:9/v1'}"
    recipe = write(tmp_path, engine, REMOTE, READ, ASK)
    [error] = problems_of(recipe, network=True)
    assert error.exit_code == 6
    assert "http://127.0.0.1:9/v1/): the server cannot be reached" in str(error)
    assert problems_of(recipe, network=False) == []


def test_what_the_hub_does_not_have_or_not_give_is_told_and_no_preflight_does_not_look(
    cli: Cli, cli_env: dict[str, str], hub: Hub, project: Path
) -> None:
    commit, other = "a" * 40, "b" * 40
    for key, gated in (("models/ada/open", False), ("datasets/ada/gated", True)):
        repo = hub.repos[key] = Repo(private=False, gated=gated)
        repo.commits[commit], repo.branches["main"] = {}, commit
    write(
        project,
        "{kind: transformers}",
        f"open: {{step: checkpoint, hub: ada/open@{commit}}}",
        f"misspelt: {{step: checkpoint, hub: ada/opne@{commit}}}",
        f"moved: {{step: checkpoint, hub: ada/open@{other}}}",
        f"prompts: {{step: read_prompts, hub: ada/gated, commit: {commit}}}",
    )
    planned = cli("plan", "first.yaml")
    assert planned.returncode == 9
    misspelt, moved, gated = planned.stderr.splitlines()
    assert misspelt.startswith("error: first.yaml:4: ada/opne: no such model, or the token may")
    assert moved.startswith(f"error: first.yaml:5: ada/open: there is no revision '{other}'")
    assert gated.startswith("error: first.yaml:6: ada/gated: it is gated, found 403")
    assert "Ask for access" in gated
    hub.requests.clear()
    assert cli("plan", "first.yaml", "--no-preflight").returncode == 0
    assert not hub.requests
    cli_env["HF_ENDPOINT"] = "http://127.0.0.1:9"
    away = cli("plan", "first.yaml")
    assert away.returncode == 9
    assert away.stderr.count("the connection failed") == 4


def test_a_server_that_refuses_the_key_is_told(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        api_server.Handler, "do_GET", lambda handler: handler.json(401, {"error": {}})
    )
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    recipe = write(tmp_path, f"{{kind: openai, base_url: '{api.address}'}}", REMOTE, READ, ASK)
    [error] = problems_of(recipe, network=True)
    assert "refuses the key (HTTP 401). Set OPENAI_API_KEY" in str(error)


@pytest.mark.parametrize("fault", [403, 404, 503])
def test_a_server_that_lists_nothing_is_told_and_not_in_the_way(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    monkeypatch.setattr(
        api_server.Handler, "do_GET", lambda handler: handler.json(fault, {"error": {}})
    )
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    recipe = write(tmp_path, f"{{kind: openai, base_url: '{api.address}'}}", REMOTE, READ, ASK)
    [problem] = find_problems(
        plan(load(recipe), Store(tmp_path / "store")), Store(tmp_path / "store"), network=True
    )
    assert not problem.certain
    assert "does not list its models, so what it serves is unknown" in str(problem.error)


def test_a_provider_without_its_key_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("MY_API_KEY", raising=False)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    recipe = write(tmp_path, "{kind: openai, api_key_env: MY_API_KEY}", REMOTE, READ, ASK)
    [error] = problems_of(recipe, network=True)
    assert (error.exit_code, "no MY_API_KEY" in str(error)) == (8, True)


def test_packages_that_are_missing_are_told_with_the_command_that_installs_them(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "is_installed", lambda name: name not in ("vllm", "trl", "peft"))
    examples = "examples: {step: read_examples, files: [examples.jsonl]}"
    tuned = "tuned: {step: sft, model: model, data: [examples]}"
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    (tmp_path / "examples.jsonl").write_text('{"prompt": "Why?", "completion": "So."}\n')
    local = f"model: {{step: checkpoint, path: '{model}'}}"
    [error] = problems_of(write(tmp_path, "{kind: vllm}", local, READ, examples, tuned, ASK))
    assert error.exit_code == 8
    assert "'trl', 'vllm' are needed and not installed" in str(error), "peft is for adapters"
    assert str(error).endswith("[train,vllm]'")


CODE = "file:" + "///my/code"


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ({}, "'srlm-data[vllm]'"),
        ({"url": CODE, "dir_info": {"editable": True}}, "-e '/my/code[vllm]'"),
        ({"url": CODE, "dir_info": {}}, "'/my/code[vllm]'"),
        (
            {"url": "https://host/it", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "'srlm-data[vllm] @ git+https://host/it@abc'",
        ),
    ],
)
def test_more_is_installed_from_where_this_copy_came(
    origin: dict[str, object], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Installed:
        def read_text(self, name: str) -> str | None:
            return {"direct_url.json": json.dumps(origin), "INSTALLER": "pip\n"}.get(name)

    monkeypatch.setattr("importlib.metadata.distribution", lambda name: Installed())
    assert packages.install_command(["vllm"]) == f"pip install {command}"


def test_an_engine_that_loads_files_is_not_given_a_model_that_only_a_server_has(
    cli: Cli, project: Path
) -> None:
    (project / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    write(project, "{kind: vllm}", REMOTE, READ, ASK)
    sentence = one_sentence(cli("build", "first.yaml"), 6)
    assert "first.yaml:5: the engine 'vllm' loads a model's files" in sentence
    assert sentence.endswith("Set 'engine: {kind: openai}' for this dataset.")


def _pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def _move_below(folder: Path) -> None:
    files = list(folder.iterdir())
    (folder / "snapshots" / "abc").mkdir(parents=True)
    for file in files:
        file.rename(folder / "snapshots" / "abc" / file.name)


def _without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_pickle, "the weights are pickled (pytorch_model.bin)"),
        (_truncate, "not a complete safetensors file"),
        (_empty, "no model.safetensors"),
        (_move_below, "model/snapshots/abc."),
        (_without_tokenizer, "no tokenizer.json"),
    ],
)
def test_a_folder_that_holds_no_model_is_a_mistake_of_the_recipe(
    cli: Cli, project: Path, spoil: object, said: str, model: Path
) -> None:
    folder = project / "model"
    folder.mkdir()
    for file in model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    assert callable(spoil)
    spoil(folder)
    (project / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    write(project, "{kind: transformers}", "model: {step: checkpoint, path: model}", READ, ASK)
    sentence = one_sentence(cli("plan", "first.yaml"), 2)
    assert sentence.startswith("first.yaml:3: 'path': ")
    assert said in sentence


def test_a_model_without_a_chat_template_is_told_before_it_is_loaded(
    tmp_path: Path, model: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "chat_template.jinja").unlink()
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    local = "model: {step: checkpoint, path: model}"
    [error] = problems_of(write(tmp_path, "{kind: transformers}", local, READ, ASK))
    assert "has no chat template" in str(error)


def test_a_template_that_a_model_is_trained_with_along_the_way_is_its_own(
    tmp_path: Path, model: Path
) -> None:
    folder = shutil.copytree(model, tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "Why?", "chosen": "So.", "rejected": "No."}')
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    further = (
        "pairs: {step: read_pairs, files: [pairs.jsonl]}",
        "m2: {step: dpo, model: tuned, reference: tuned, pairs: pairs, on_policy: false}",
        READ,
        ASK.replace("model: model", "model: m2"),
    )
    recipe = write_training(tmp_path, folder, "chat_template: chatml")
    recipe.write_text(recipe.read_text() + "".join(f"  {line}\n" for line in further))
    assert problems_of(recipe) == []


@pytest.mark.parametrize(
    ("engine", "wanted"),
    [
        ("{kind: vllm, tensor_parallel_size: 4}", 4),
        ("{kind: ray, replicas: 2, vllm: {tensor_parallel_size: 2}}", 4),
        ("{kind: ray, replicas: 3}", 3),
    ],
)
def test_more_gpus_than_there_are_is_told(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, engine: str, wanted: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    local = f"model: {{step: checkpoint, path: '{model}'}}"
    [error] = problems_of(write(tmp_path, engine, local, READ, ASK))
    assert f"needs {wanted} GPUs (tensor_parallel_size, replicas), but this machine has 2" in str(
        error
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert problems_of(tmp_path / "first.yaml") == []


def write_training(folder: Path, model: Path, *settings: str) -> Path:
    """A recipe that trains a model on one example, with further settings of the training."""
    (folder / "examples.jsonl").write_text('{"prompt": "Why?", "completion": "So."}\n')
    tuned = ", ".join(["step: sft", "model: model", "data: [examples]", *settings])
    return write(
        folder,
        "{kind: transformers}",
        f"model: {{step: checkpoint, path: '{model}'}}",
        "examples: {step: read_examples, files: [examples.jsonl]}",
        f"tuned: {{{tuned}}}",
    )


def test_a_disk_without_room_for_the_models_is_told(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_training(tmp_path, model)
    assert problems_of(recipe) == []
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda place: SimpleNamespace(free=1000))
    [error] = problems_of(recipe)
    assert error.exit_code == 4
    assert "Make room, or name another store." in str(error)


def test_a_template_that_ends_no_answer_is_told_before_anything_is_trained(
    cli: Cli, project: Path, model: Path
) -> None:
    folder = shutil.copytree(model, project / "model")
    endless = "{% for m in messages %}\n{{ m.role }}: {{ m.content }}{% endfor %}"
    (folder / "chat_template.jinja").write_text(endless)
    write_training(project, folder)
    sentence = one_sentence(cli("build", "first.yaml"), 7)
    assert "has a chat template that writes nothing after an answer" in sentence
    (project / "mine.jinja").write_text(endless)
    write_training(project, model, "chat_template: mine.jinja")
    sentence = one_sentence(cli("plan", "first.yaml"), 2)
    assert "'mine.jinja' is a chat template that writes nothing after an answer" in sentence


@pytest.mark.parametrize(
    ("launch", "wanted"),
    [
        ("[no-such-launcher]", "no program 'no-such-launcher' on the path"),
        ("[python, -m, mine, --config_file, mine.yaml]", "no file 'mine.yaml' in "),
        ("[python, --config_file, train/configs/offload.yaml]", None),
    ],
)
def test_what_starts_a_training_is_looked_for_before_the_build(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, launch: str, wanted: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = write_training(tmp_path, model, f"launch: {launch}")
    errors = problems_of(recipe)
    assert [error.exit_code for error in errors] == ([7] if wanted else [])
    assert all(wanted in str(error) for error in errors if wanted)


def test_where_answers_are_kept_a_missing_engine_is_a_notice_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Heard(Watcher):
        def __init__(self) -> None:
            self.notices: list[str] = []

        def notice(self, sentence: str) -> None:
            self.notices.append(sentence)

    monkeypatch.syspath_prepend(str(Path(toy.__file__).parent))
    store = Store(tmp_path / "store")
    with api_server.serve() as api:
        engine = f"{{kind: openai, base_url: '{api.address}', retries: 0, patience: 0}}"
        prompts = "prompts: {step: 'toy:toy_prompts', n: 6}"
        recipe = write(tmp_path, engine, REMOTE, prompts, ASK)
        build(load(recipe), store)
    heard = Heard()
    recipe.write_text(recipe.read_text().replace("model: model}", "model: model, cut_off: keep}"))
    made = build(load(recipe), store, watcher=heard)["first.candidates"]
    assert (made.rows, made.cost["calls"], made.cost["reused"]) == (24, 0, 24)
    [notice] = heard.notices
    assert "the server cannot be reached" in notice


def test_a_plan_is_printed_with_what_stands_in_its_way(cli: Cli, project: Path) -> None:
    (project / "prompts.jsonl").write_text('{"weird": "Why?"}\n')
    engine = "{kind: openai, base_url: 'http://127.0.0.1:9/v1'}"
    write(project, engine, REMOTE, READ, ASK)
    planned = cli("plan", "first.yaml")
    assert planned.returncode == 6
    assert "+ first.prompts  read_prompts" in planned.stdout
    server, column = planned.stderr.splitlines()
    assert "the server cannot be reached" in server
    assert "there is no column 'prompt'" in column
    planned = cli("plan", "first.yaml", "--no-preflight")
    assert planned.returncode == 3
    assert "the server cannot be reached" not in planned.stderr


def test_a_plan_of_80000_calls_does_not_say_that_they_read_nothing(cli: Cli, project: Path) -> None:
    (project / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    made = "made: {step: self_instruct, examples: seed, model: model, n: 20000}"
    seed = "seed: {step: read_examples, files: [seed.jsonl]}"
    (project / "seed.jsonl").write_text('{"prompt": "Why?", "completion": "So."}\n')
    write(
        project,
        "{kind: openai, base_url: 'http://127.0.0.1:9/v1'}",
        *(REMOTE, seed, made, ASK.replace("prompts: prompts", "prompts: made")),
    )
    text = cli("plan", "first.yaml", "--no-preflight").stdout
    assert "at most 80,000 model calls; about 80,000 calls, unknown tokens in" in text
    assert "at least 20,000 model calls; about 20,000 calls, unknown tokens in" in text
    assert "model calls: at most 80,000 and at least 20,000 (" in text
    assert "about 100,000 calls, unknown tokens in" in text
    assert " 0 tokens" not in text
