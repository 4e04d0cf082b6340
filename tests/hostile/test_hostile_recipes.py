"""A recipe of a stranger is refused in sentences, and runs nothing that it does not name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkout import Cli
from srlm_data.core.errors import RecipeError
from srlm_data.pipeline.plan import plan
from srlm_data.pipeline.recipe import Recipe, load
from srlm_data.store import Store

MODEL = f"m: {{step: checkpoint, hub: a/b@{'0' * 40}}}"


def read(folder: Path, text: str | bytes, name: str = "mine.yaml") -> Recipe:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(file)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("# " + "x" * (1 << 20), "a recipe has at most 1,048,576 bytes"),
        (f"seed: {'9' * 5000}\ndatasets: {{{MODEL}}}", "a value is text, a number"),
        (f"about: 2001-99-99\ndatasets: {{{MODEL}}}", "found the timestamp '2001-99-99'"),
        (f"about: !!int five\ndatasets: {{{MODEL}}}", "found the int 'five'"),
        (f"about: !!bool five\ndatasets: {{{MODEL}}}", "found the bool 'five'"),
        (f"about: !!binary five\ndatasets: {{{MODEL}}}", "a value is text"),
        (f'about: "\\ud800"\ndatasets: {{{MODEL}}}', "not YAML"),
        ("about: " + "[" * 100_000, "nested deeper than 20 levels"),
        ("about: \x01", "control characters are not allowed"),
        (b"\xff\xfe", "not UTF-8"),
        ("? [a]\n: 1", "a key must be a word, found a collection"),
        ("1: 2", "a key must be a word, found 1"),
        (f"<<: {{a: 1}}\ndatasets: {{{MODEL}}}", "found the merge '<<'"),
        (f"about: !env HOME\ndatasets: {{{MODEL}}}", "found the !env 'HOME'. Write it out"),
        ("datasets: {}", "must name at least one dataset"),
        ("[]", "a recipe is a mapping"),
        ("datasets: {'a/b': {step: checkpoint}}", "'a/b' is not a valid dataset name"),
        ("datasets: {'../up': {step: checkpoint}}", "'../up' is not a valid dataset name"),
        (f"datasets: {{'{'m' * 101}': {{step: checkpoint}}}}", "at most 100 lower-case letters"),
        ("datasets: {'m\u043edel': {step: checkpoint}}", "is not a valid dataset name"),
        ("datasets: {Model: {step: checkpoint}}", "is not a valid dataset name"),
        ("datasets: {m: {step: ':x'}}", "unknown step ':x'"),
        ("datasets: {m: {step: '.a:x'}}", "unknown step '.a:x'"),
        ("datasets: {m: {step: 'a..b:x'}}", "unknown step"),
        ("datasets: {m: {step: 'os:sep'}}", "step 'os:sep': cannot import it, found"),
        ("datasets: {m: {step: 'builtins:print'}}", "its first parameter must be a config"),
        ("datasets: {m: {step: checkpoint, hub: a/b@main, path: 'a\\0'}}", "no such folder"),
        (f"datasets: {{m: {{step: checkpoint, path: {'a' * 5000}}}}}", "no such folder"),
        (f"datasets: {{p: {{step: read_prompts, files: [{'a' * 5000}]}}}}", "no such file"),
        ('datasets: {p: {step: read_prompts, files: ["a\\0.jsonl"]}}', "no such file"),
        ("datasets: {p: {step: sql, inputs: {a: ../b.c}, query: q}}", "no recipe ''"),
        ("datasets: {p: {step: sql, inputs: {a: /etc/b.c}, query: q}}", "no recipe '/etc/b'"),
        (f"datasets: {{p: {{step: sql, inputs: {{a: {'a' * 5000}.c}}, query: q}}}}", "no recipe"),
        ("datasets: {p: {step: sql, inputs: {}, query: q}}", "'inputs' names no dataset"),
        (
            f"datasets: {{{MODEL}, p: {{step: sql, inputs: {{'a; b': m}}, query: q}}}}",
            "'a; b' cannot name an input",
        ),
        (
            f"engine: {{kind: '.a:b'}}\ndatasets: {{{MODEL}, p: {{step: self_instruct, n: 1, "
            "examples: e, model: m}}",
            "'kind': string should match pattern",
        ),
        (
            f"datasets: {{{MODEL}, s: {{step: sft, model: m, data: [m], learning_rate: .inf}}}}",
            "input should be a finite number",
        ),
        (
            f"datasets: {{{MODEL}, s: {{step: sft, model: m, data: [m], dropout: .nan}}}}",
            "input should be a finite number",
        ),
    ],
    ids=ascii,
)  # fmt: skip
def test_a_hostile_recipe_is_refused_in_a_sentence(
    tmp_path: Path, text: str | bytes, sentence: str
) -> None:
    with pytest.raises(RecipeError, match=sentence):
        plan(read(tmp_path, text), Store(tmp_path / "store"))
    assert not (tmp_path / "store").exists()


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["m", "p", "mine.m", "checkpoint", "sql", "a/b@0123456789", "os:sep", "vllm"]),
)  # fmt: skip
WORDS = ["about", "seed", "engine", "datasets", "step", "hub", "path", "inputs", "query", "model",
         "files", "m", "p", "kind", "n", "template", "candidates", "prompts", "type"]  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=5)
    ),
    max_leaves=12,
)
BODIES = st.fixed_dictionaries(
    {
        "step": st.sampled_from(
            ["checkpoint", "sql", "answer", "generate", "judge", "read_prompts", "x:y"]
        )
    },
    optional={word: TREES for word in WORDS if word != "step"},
)
RECIPES = st.fixed_dictionaries(
    {"datasets": st.dictionaries(st.sampled_from(["m", "p", "q", "A", "a.b"]), BODIES, max_size=3)},
    optional={"seed": TREES, "engine": TREES, "about": TREES},
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(RECIPES, TREES))
def test_whatever_a_recipe_holds_the_answer_is_a_recipe_or_sentences(
    tmp_path: Path, tree: object
) -> None:
    text = json.dumps(tree, allow_nan=False, default=str) if _is_json(tree) else "seed: .nan"
    for problem in problems(tmp_path, text):
        assert problem.startswith(str(tmp_path))


def problems(folder: Path, text: str | bytes) -> tuple[str, ...]:
    try:
        plan(read(folder, text), Store(folder / "store"))
    except RecipeError as error:
        return error.problems
    return ()


def _is_json(tree: object) -> bool:
    try:
        json.dumps(tree, allow_nan=False)
    except ValueError:
        return False
    return True


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_a_recipe_or_sentences(tmp_path: Path, raw: bytes) -> None:
    for problem in problems(tmp_path, raw):
        assert problem.startswith(str(tmp_path))


def test_a_file_beside_a_recipe_does_not_pass_for_a_library(cli: Cli, project: Path) -> None:
    """A recipe that names no module runs none, whatever lies in its folder."""
    folder = project / "stranger"
    folder.mkdir()
    for name in ("duckdb", "yaml", "pyarrow", "rich", "polars", "json"):
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name} of a stranger ran')\n")
    (folder / "mine.yaml").write_text("datasets: {m: {step: checkpoint, remote: m@1}}\n")
    answer = cli("plan", folder / "mine.yaml")
    assert answer.returncode == 0, answer.stderr
    assert cli("build", folder / "mine.yaml").returncode == 0


def test_a_recipe_may_name_files_anywhere_that_its_user_can_read(cli: Cli, project: Path) -> None:
    (project / "prompts.jsonl").write_text('{"prompt": "Why is it red?"}\n')
    folder = project / "recipes"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "datasets:\n  p: {step: read_prompts, files: [../prompts.jsonl]}\n"
    )
    assert cli("build", folder / "mine.yaml").returncode == 0
    manifest = cli("show", "mine.p", "--manifest").stdout
    assert "prompts.jsonl" not in json.dumps(json.loads(manifest)["identity"])


@pytest.mark.parametrize(
    ("engine", "trusted"),
    [
        ("{kind: transformers, trust_remote_code: true}", True),
        ("{kind: ray, vllm: {trust_remote_code: true}}", True),
        ("{kind: transformers, trust_remote_code: false}", False),
    ],
)
def test_plan_says_when_code_of_a_model_would_run(
    cli: Cli, project: Path, engine: str, trusted: bool
) -> None:
    (project / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    (project / "mine.yaml").write_text(
        f"engine: {engine}\n"
        f"datasets:\n  {MODEL}\n  p: {{step: read_prompts, files: [prompts.jsonl]}}\n"
        "  a: {step: generate, prompts: p, model: m}\n"
    )
    said = cli("plan", "mine.yaml").stdout
    assert ("runs the model's own Python code (trust_remote_code)" in said) is trusted
    rows = json.loads(cli("plan", "mine.yaml", "--json").stdout)
    assert [row["trust_remote_code"] for row in rows] == [False, False, trusted]
