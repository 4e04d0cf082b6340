"""A recipe is checked whole before anything runs; a mistake is one sentence with its line."""

import os
import time

import pytest

import toy
from srlm_data.core.errors import RecipeError
from srlm_data.pipeline.recipe import load

PLAIN = """\
datasets:
  messages:
    step: read_messages
    files: [trees.jsonl]
  ift:
    step: select_ift
    messages: messages
    n: 5
"""


def problems(tmp_path, text, name="mine.yaml"):
    (tmp_path / "trees.jsonl").touch()
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.chdir(tmp_path)
    with pytest.raises(RecipeError) as caught:
        load(file.relative_to(tmp_path))
    return list(caught.value.problems)


def test_a_good_recipe_reads_down_the_page(tmp_path):
    (tmp_path / "trees.jsonl").touch()
    (tmp_path / "mine.yaml").write_text(PLAIN)
    recipe = load(tmp_path / "mine.yaml")
    assert [one.name for one in recipe.flow()] == ["mine.messages", "mine.ift"]
    assert recipe.datasets["ift"].config.n == 5


def test_the_recipes_seed_fills_every_step_that_has_none_of_its_own(tmp_path):
    (tmp_path / "trees.jsonl").touch()
    (tmp_path / "mine.yaml").write_text("seed: 7\n" + PLAIN)
    assert load(tmp_path / "mine.yaml").datasets["ift"].config.seed == 7


def test_anchors_are_taken_and_one_that_holds_itself_is_a_mistake(tmp_path):
    (tmp_path / "trees.jsonl").touch()
    text = (
        PLAIN.replace("n: 5", "n: &five 5")
        + "  more: {step: select_ift, messages: messages, n: *five}\n"
    )
    (tmp_path / "mine.yaml").write_text(text)
    assert load(tmp_path / "mine.yaml").datasets["more"].config.n == 5
    assert problems(tmp_path, "datasets: &a [*a]") == [
        "mine.yaml: nested deeper than 20 levels. Flatten it."
    ]


def test_another_recipe_in_the_folder_is_read_from_by_its_name(tmp_path):
    (tmp_path / "trees.jsonl").touch()
    (tmp_path / "mine.yaml").write_text(PLAIN)
    (tmp_path / "next.yaml").write_text(
        "datasets:\n  more: {step: select_ift, messages: mine.messages}\n"
    )
    assert [one.name for one in load(tmp_path / "next.yaml").flow()] == [
        "mine.messages", "next.more",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            PLAIN.replace("    n: 5", "    nn: 5"),
            "mine.yaml:8: step 'select_ift' has no 'nn'.", id="unknown key",
        ),
        pytest.param(
            PLAIN.replace("select_ift", "select_itf"),
            "mine.yaml:6: unknown step 'select_itf'. Did you mean 'select_ift'?", id="unknown step",
        ),
        pytest.param(
            PLAIN.replace("messages: messages", "messages: mesages"),
            "mine.yaml:7: no dataset 'mesages'. Did you mean 'messages'?", id="wrong input",
        ),
        pytest.param(
            PLAIN + "  ift: {step: select_ift, messages: messages}\n",
            "mine.yaml:9: 'ift' is given twice.", id="duplicate name",
        ),
        pytest.param(
            PLAIN.replace("n: 5", "n: many"), "mine.yaml:8: 'n': ", id="bad type",
        ),
        pytest.param(
            PLAIN.replace("n: 5", "n: yes"), "mine.yaml:8: 'n': expected a number, found True.",
            id="a truth for a number",
        ),
        pytest.param(
            PLAIN.replace("n: 5", "n: 010"), "mine.yaml:8: YAML reads '010' as 8.", id="octal",
        ),
        pytest.param(
            PLAIN.replace("n: 5", "n: 1:30"), "mine.yaml:8: YAML reads '1:30' as 90.",
            id="sexagesimal",
        ),
        pytest.param(
            PLAIN.replace("trees.jsonl", "absent.jsonl"),
            "mine.yaml:4: 'files': no such file: 'absent.jsonl', found ['absent.jsonl'].",
            id="missing file",
        ),
        pytest.param(
            PLAIN.replace("[trees.jsonl]", "absent.jsonl"),
            "mine.yaml:4: 'files': no such file: 'absent.jsonl'.", id="missing file, found once",
        ),
        pytest.param(
            PLAIN.replace("[trees.jsonl]", "''"),
            "mine.yaml:4: 'files': expected a file, a folder or a pattern, found ''.",
            id="a file without a name",
        ),
        pytest.param(
            PLAIN.replace("messages: messages", "messages: mine.ift"),
            "mine.yaml: recipes read from each other in a circle", id="cycle between recipes",
        ),
        pytest.param(
            "datasets:\n  a: {step: select_ift, messages: b}\n"
            "  b: {step: select_ift, messages: a}\n",
            "mine.yaml:2: 'b' is not above this line.", id="cycle",
        ),
        pytest.param(
            PLAIN.replace("    step: select_ift", "\tstep: select_ift"),
            "mine.yaml:6: not YAML, found: ", id="tab indentation",
        ),
        pytest.param("", "mine.yaml: the file is empty.", id="empty"),
        pytest.param(
            "# " + "x" * (1 << 20), "mine.yaml: a recipe has at most 1,048,576 bytes", id="huge",
        ),
        pytest.param("- a\n- b\n", "mine.yaml:1: a recipe is a mapping", id="a list"),
        pytest.param(
            "datasets: {}\n", "mine.yaml:1: 'datasets' must name at least one", id="nothing",
        ),
        pytest.param(b"\xff\xfe\x00", "mine.yaml: not UTF-8 text in YAML", id="not text"),
        pytest.param(
            PLAIN.replace("    messages: messages\n", ""),
            "mine.yaml:5: step 'select_ift' reads 'messages' (messages), which is missing.",
            id="missing input",
        ),
        pytest.param(
            PLAIN + "  again: {step: select_ift, messages: ift}\n",
            "mine.yaml:9: step 'select_ift' reads messages as 'messages', found 'ift', which is "
            "examples.", id="wrong dataset type",
        ),
        pytest.param(
            PLAIN + "  s: {step: sql, inputs: {a: ift, A: messages}, query: q}\n",
            "mine.yaml:9: 'inputs' has names that differ in case.", id="names of one case",
        ),
        pytest.param(
            PLAIN.replace("messages: messages", "messages: other.messages"),
            "mine.yaml:7: no recipe 'other' beside this one (other.yaml).", id="no such recipe",
        ),
        pytest.param(
            "sed: 1\n" + PLAIN, "mine.yaml:1: unknown key 'sed'. Did you mean 'seed'?",
            id="top key",
        ),
        pytest.param(
            "datasets:\n  a: {step: 'os:getcwd'}\n",
            "mine.yaml:2: step 'os:getcwd': its first parameter must be a config", id="no step",
        ),
        pytest.param(
            "datasets:\n  a: {step: 'nowhere.at.all:step'}\n",
            "mine.yaml:2: step 'nowhere.at.all:step': cannot import it", id="no module",
        ),
    ],
)  # fmt: skip
def test_a_broken_recipe_is_one_sentence_with_its_line(tmp_path, text, expected):
    found = problems(tmp_path, text)
    assert len(found) == 1, found
    assert found[0].startswith(expected)


def test_all_mistakes_are_told_at_once(tmp_path):
    text = PLAIN.replace("n: 5", "n: many").replace("trees.jsonl", "absent.jsonl")
    assert len(problems(tmp_path, text)) == 2


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(RecipeError, match="no such file"):
        load(tmp_path / "absent.yaml")


def test_a_recipe_cannot_be_named_out_of_the_store(tmp_path):
    assert "named by its file" in problems(tmp_path, PLAIN, "Bad-Name.yaml")[0]


def test_checking_time_grows_linearly_with_the_file(tmp_path):
    def seconds(count):
        text = PLAIN + "".join(
            f"  d{i}: {{step: select_ift, messages: messages, n: {i + 1}}}\n" for i in range(count)
        )
        (tmp_path / "mine.yaml").write_text(text)
        (tmp_path / "trees.jsonl").touch()
        started = time.process_time()
        load(tmp_path / "mine.yaml")
        return time.process_time() - started

    seconds(10)
    fewest = {count: min(seconds(count) for _ in range(3)) for count in (100, 1000)}
    assert fewest[1000] < 30 * fewest[100]


def test_ray_takes_what_the_recipe_says_of_vllm_into_each_replica(tmp_path):
    def engine(section, **options):
        recipe = toy.write_recipe(tmp_path, ("seed: 3", f"seed: 3\nengine: {section}"))
        text = recipe.read_text().replace("engine:\n  kind: toy:open_toy\n", "about:\n")
        recipe.write_text(text.replace("  options:", "  was:"))
        return load(recipe, **options).datasets["candidates"].engine

    given = engine("{kind: vllm, max_num_seqs: 9}", engine="ray", replicas=3)
    assert (given.kind, given.replicas, given.vllm.max_num_seqs) == ("ray", 3, 9)
    section = "{kind: ray, replicas: 4, vllm: {max_num_seqs: 9}}"
    given = engine(section, engine="ray", replicas=2)
    assert (given.replicas, given.vllm.max_num_seqs) == (2, 9)
    assert engine(section, engine="ray").replicas == engine(section).replicas == 4
