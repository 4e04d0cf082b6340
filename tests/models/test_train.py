"""The training scripts, run as a user runs them, on a model of a hundred thousand weights."""

from __future__ import annotations

import json
import shutil
import signal
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors
from safetensors.numpy import load_file, save_file

import toy
from checkout import ROOT
from srlm_data.models import identity
from srlm_data.models.trainer import Trainer
from srlm_data.models.training import Dpo, Sft, script
from tiny import tiny_model
from training_jobs import (
    curve,
    examples,
    facts,
    job,
    pairs,
    refused,
    says,
    train,
    words,
)


@pytest.fixture(scope="module", autouse=True)
def library() -> None:
    """Import what takes ten seconds, in the one process that runs these tests."""
    pytest.importorskip("trl")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "m0")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not(
    tmp_path: Path, model: Path
) -> None:
    runs = [train("sft.py", job(tmp_path / str(n), model, examples())) for n in range(2)]
    other = train("sft.py", job(tmp_path / "other", model, examples(), seed=1))
    weights = [(made / "model.safetensors").read_bytes() for made in (*runs, other)]
    assert weights[0] == weights[1] != weights[2]
    assert identity.digest(runs[0]) == identity.digest(runs[1]) != identity.digest(model)


@pytest.mark.slow
def test_a_finished_model_loads_and_its_card_tells_its_origin_and_no_path(
    tmp_path: Path, model: Path
) -> None:
    version = tmp_path / "store" / "iter1.ift" / "00aa11bb22cc33dd"
    (version / "data").mkdir(parents=True)
    (version / "manifest.json").write_text("{}")
    pq.write_table(pa.Table.from_pylist(examples()), version / "data" / "train.parquet")
    file = job(
        tmp_path / "job", model, examples(), data=[str(version)], validation=["rows.parquet"]
    )
    made = train("sft.py", file)
    card = (made / "README.md").read_text()
    assert "iter1.ift@00aa11bb22cc33dd" in card
    assert identity.digest(model) in card
    assert "| learning_rate | 0.001 |" in card
    assert not [one.name for one in made.iterdir() if str(tmp_path).encode() in one.read_bytes()]
    assert json.loads((made / "config.json").read_text())["attention_dropout"] == 0.0
    assert facts(made)["parameters"] == 98_624
    steps = [entry for entry in curve(made) if "loss" in entry]
    assert [entry["step"] for entry in steps] == [1, 2, 3, 4]
    assert steps[-1]["learning_rate"] < steps[0]["learning_rate"] == 1e-3
    assert any("eval_loss" in entry for entry in curve(made))

    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoModelForCausalLM.from_pretrained(made)
    assert loaded.dtype.itemsize == 4
    assert AutoTokenizer.from_pretrained(made).chat_template


@pytest.fixture(scope="module")
def trainer() -> Iterator[Trainer]:
    """What a build forks its trainings from."""
    with closing(Trainer()) as started:
        started.start(script("prefork.py"))
        yield started


def is_training(process: psutil.Process) -> bool:
    """Whether it was forked from the process that has imported TRL."""
    parent = process.parent()
    return parent is not None and any("prefork.py" in word for word in parent.cmdline())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sft.py", "dpo.py"])
def test_a_killed_run_resumes_and_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, model: Path, trainer: Trainer, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    rows = pairs() if name == "dpo.py" else examples()
    settings: dict[str, Any] = {"max_steps": 40, "save_every": 4}
    if name == "dpo.py":
        settings["reference"] = str(model)
    whole = train(name, job(tmp_path / "whole", model, rows, **settings))
    file = job(tmp_path / "killed", model, rows, **settings)
    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(trainer.run, (), [str(script(name)), str(file)], tmp_path / "log")
        kept = file.parent / "out" / "checkpoints"
        deadline = time.monotonic() + 240
        while not list(kept.glob("checkpoint-*/trainer_state.json")):
            assert not ended.done()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        [child] = [one for one in psutil.Process().children(True) if is_training(one)]
        child.kill()
        assert ended.result() == -signal.SIGKILL
    assert not (file.parent / "out" / "model").exists()
    capfd.readouterr()
    made = train(name, file)
    assert "resuming from checkpoint-" in capfd.readouterr().out
    assert (made / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert [entry.get("loss") for entry in curve(made)] == [
        entry.get("loss") for entry in curve(whole)
    ]
    train(name, file)  # a third time there is nothing left to do
    assert "finished" in capfd.readouterr().out


@pytest.mark.slow
def test_pairs_that_the_cut_makes_equal_are_counted_and_not_trained_on(
    tmp_path: Path, model: Path
) -> None:
    same_start = {
        "prompt": says("user", "one"),
        "chosen": says("assistant", words(0, 40) + " red"),
        "rejected": says("assistant", words(0, 40) + " green"),
    }
    long_prompt = {**same_start, "prompt": says("user", words(0, 90))}
    rows = [*pairs(), same_start, same_start, long_prompt]
    settings = {"reference": str(model), "max_length": 60, "max_steps": 2}
    file = job(tmp_path / "a [1] job*", model, rows, **settings)
    made = train("dpo.py", file)
    assert facts(made)["examples"] == 16
    assert facts(made)["dropped"] == {
        "the prompt fills max_length": 1,
        "chosen and rejected are equal once cut to max_length": 2,
    }
    examples = json.loads((made.parent / "dropped.json").read_text())
    assert [one["where"] for one in examples["the prompt fills max_length"]] == ["row 19"]
    assert "Rows dropped: 2: chosen and rejected" in (made / "README.md").read_text()
    first = curve(made)[0]
    assert {"rewards/accuracies", "rewards/margins", "logps/chosen"} <= first.keys()


@pytest.mark.slow
def test_dpo_starts_at_the_reference_and_moves_towards_the_chosen_answers(
    tmp_path: Path, model: Path
) -> None:
    settings = {"reference": str(model), "dropout": 0.0, "max_steps": 30, "batch_size": 16}
    made = train("dpo.py", job(tmp_path, model, pairs(), **settings))
    steps = [entry for entry in curve(made) if "loss" in entry]
    assert steps[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert steps[0]["rewards/margins"] == pytest.approx(0, abs=1e-4)
    assert steps[-1]["rewards/accuracies"] > 0.9
    assert facts(made)["reference"] == facts(made)["base"] == identity.digest(model)


@pytest.mark.slow
def test_the_losses_of_follow_ups_add_up_by_their_weights(tmp_path: Path, model: Path) -> None:
    """The first loss of DPO is log 2, whatever the pairs; NLL comes on top of it."""
    first = {}
    for name, losses in {
        "dpo": {"sigmoid": 1.0},
        "rpo": {"sigmoid": 1.0, "sft": 1.0},
        "half": {"sigmoid": 1.0, "sft": 0.5},
        "sppo": {"sppo_hard": 1.0},
    }.items():
        settings = {"reference": str(model), "losses": losses, "dropout": 0, "max_steps": 1}
        first[name] = curve(train("dpo.py", job(tmp_path / name, model, pairs(), **settings)))[0]
    loss = {name: entry["loss"] for name, entry in first.items()}
    nll = loss["rpo"] - loss["dpo"]
    assert loss["dpo"] == pytest.approx(0.6931, abs=1e-3)
    assert nll > 1
    assert loss["half"] - loss["dpo"] == pytest.approx(nll / 2, rel=1e-3)
    assert loss["sppo"] == pytest.approx(2 * (0.5 / 0.1) ** 2, rel=1e-3)


@pytest.mark.slow
def test_trl_takes_the_pairs_of_a_store_as_they_are(tmp_path: Path, model: Path) -> None:
    import datasets
    import trl
    from transformers import AutoModelForCausalLM, AutoTokenizer

    store = toy.publish_pairs(tmp_path)
    files = [str(file) for file in store.files(store.resolve("toy.pairs"))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's and transformers' own
        trainer = trl.DPOTrainer(
            AutoModelForCausalLM.from_pretrained(model),
            args=trl.DPOConfig(
                output_dir=str(tmp_path / "trl"), max_steps=1, per_device_train_batch_size=2,
                bf16=False, report_to=[], use_cpu=True, disable_tqdm=True,
            ),
            train_dataset=datasets.load_dataset(
                "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
            ),
            processing_class=AutoTokenizer.from_pretrained(model),
        )  # fmt: skip
        assert trainer.train().global_step == 1


def test_a_loss_that_trl_has_not_is_refused_with_the_ones_it_has() -> None:
    with pytest.raises(ValueError, match="sppo_hard"):
        Dpo(losses={"sppo": 1.0})


@pytest.mark.slow
def test_lora_is_merged_into_a_whole_checkpoint(tmp_path: Path, model: Path) -> None:
    made = train("sft.py", job(tmp_path, model, examples(), lora={"rank": 4}))
    assert not list(made.glob("adapter*"))
    assert facts(made)["parameters"] == 98_624
    assert identity.digest(made) != identity.digest(model)


@pytest.fixture
def base(tmp_path: Path, model: Path) -> Path:
    """A base model as one finds it: in bfloat16, and without a chat template."""
    return bare(model, tmp_path / "base", tied=True)


def bare(model: Path, folder: Path, *, tied: bool) -> Path:
    """Save a model in bfloat16, without its chat template; its output layer is its own or not."""
    import torch
    from transformers import AutoModelForCausalLM

    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("chat_template*", "*.safetensors"))
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    if not tied:
        network.config.tie_word_embeddings = False
        network.lm_head.weight = torch.nn.Parameter(network.lm_head.weight.detach().clone())
    network.save_pretrained(folder)
    # As Llama 2 came: transformers does not save settings of sampling without sampling.
    (folder / "generation_config.json").write_text('{"temperature": 0.9, "top_p": 0.6}')
    (folder / "preprocessor_config.json").write_text("{}")
    return folder


def types(folder: Path) -> set[str]:
    with safetensors.safe_open(folder / "model.safetensors", framework="pt") as tensors:
        return {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118


@pytest.mark.slow
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("lora", [None, {"rank": 4}])
def test_a_base_model_learns_the_chat_template_that_is_named_and_its_tokens(
    tmp_path: Path, model: Path, lora: Any, tied: bool
) -> None:
    base = bare(model, tmp_path / "m0", tied=tied)
    settings = {"chat_template": "chatml", "lora": lora, "max_steps": 8, "batch_size": 8}
    made = train("sft.py", job(tmp_path / "job", base, examples(), **settings))
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(made)
    known = len(AutoTokenizer.from_pretrained(base))
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert tokenizer.chat_template.startswith("{{- bos_token }}")
    assert (end, len(tokenizer)) == (known + 1, known + 2)
    assert tokenizer.eos_token_id == end
    loaded = AutoModelForCausalLM.from_pretrained(made)
    assert loaded.generation_config.eos_token_id[0] == loaded.config.eos_token_id == end
    assert loaded.generation_config.temperature == 0.9
    assert (made / "preprocessor_config.json").is_file()
    embeddings = loaded.get_input_embeddings().weight
    assert len(embeddings) == len(tokenizer)
    # Both new tokens began alike, and each has learned its own.
    for rows in (embeddings.float(), loaded.get_output_embeddings().weight.float()):
        assert (rows[-1] - rows[-2]).abs().max() > 1e-3
    assert loaded.config.tie_word_embeddings == tied
    # Weights are trained in float32 and saved in the base's type.
    assert types(made) == types(base) == {"BF16"}
    assert json.loads((made / "config.json").read_text())["dtype"] == "bfloat16"


@pytest.mark.slow
def test_a_model_is_saved_in_the_type_that_is_asked_for(tmp_path: Path, base: Path) -> None:
    settings = {"chat_template": "plain", "save_dtype": "float32"}
    made = train("sft.py", job(tmp_path / "job", base, examples(), **settings))
    assert types(made) == {"F32"}
    assert facts(made)["settings"]["chat_template"]["text"].startswith("{{- bos_token }}")


@pytest.mark.slow
def test_what_a_base_model_lacks_is_said_before_anything_is_trained(
    tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = job(tmp_path / "bare", base, examples())
    assert "Name one with chat_template" in refused("sft.py", bare, capsys)
    (tmp_path / "endless.jinja").write_text("{{ bos_token }}{{ messages[-1].content }}")
    endless = job(tmp_path / "endless", base, examples(), chat_template="../endless.jinja")
    assert "would not stop" in refused("sft.py", endless, capsys)
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    (tmp_path / "strict.jinja").write_text(
        strict + "{% for m in messages %}{{ m.content + eos_token }}{% endfor %}"
    )
    rows = [{**row, "prompt": says("system", "one") + row["prompt"]} for row in examples()]
    refusing = job(tmp_path / "strict", base, rows, chat_template="../strict.jinja")
    assert "refuses a conversation, found 'no system'" in refused("sft.py", refusing, capsys)
    folding = {"chat_template": "../strict.jinja", "system": "fold"}
    train("sft.py", job(tmp_path / "folded", base, rows, **folding))


@pytest.mark.slow
@pytest.mark.parametrize("part", ["model", "reference"])
def test_weights_under_an_adapter_s_names_are_not_trained_from_chance(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    adapted = shutil.copytree(model, tmp_path / "adapted")
    file = adapted / "model.safetensors"
    weights = {f"base_model.model.{name}": value for name, value in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    models = {"model": model, "reference": model, part: adapted}
    file = job(tmp_path / "job", models["model"], pairs(), reference=str(models["reference"]))
    said = refused("dpo.py", file, capsys)
    assert f"the model {adapted} lacks" in said
    assert "would answer at random. Save the whole model" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "file", "change", "sentence"),
    [
        ("model", "config.json", {"quantization_config": {"quant_method": "awq"}}, "is quantised"),
        ("model", "config.json", {"architectures": None}, "names no 'architectures'"),
        (
            "reference",
            "config.json",
            {"architectures": ["LlamaForSequenceClassification"]},
            "judges",
        ),
        ("reference", "tokenizer_config.json", {"extra_special_tokens": ["<new>"]}, "other tokens"),
    ],
)
def test_models_that_cannot_be_trained_together_are_refused(
    tmp_path: Path,
    model: Path,
    capsys: pytest.CaptureFixture[str],
    part: str,
    file: str,
    change: dict[str, Any],
    sentence: str,
) -> None:
    other = shutil.copytree(model, tmp_path / "other")
    (other / file).write_text(json.dumps(json.loads((other / file).read_text()) | change))
    models = {"model": model, "reference": model, part: other}
    asked = job(tmp_path / "job", models["model"], pairs(), reference=str(models["reference"]))
    assert sentence in refused("dpo.py", asked, capsys)


@pytest.mark.slow
def test_a_model_with_several_templates_is_trained_with_its_usual_one(
    tmp_path: Path, model: Path
) -> None:
    several = shutil.copytree(model, tmp_path / "several")
    (several / "additional_chat_templates").mkdir()
    (several / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")
    trained = train("sft.py", job(tmp_path / "job", several, examples(), system="fold"))
    own = str(identity.chat_template(model))
    assert str(identity.chat_template(trained)).endswith(own)


@pytest.mark.slow
def test_mistakes_in_a_job_are_one_sentence_each(
    tmp_path: Path,
    model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = refused("sft.py", job(tmp_path, model, examples(), learning_rat=1, epochs=-1), capsys)
    assert "unknown key 'learning_rat'. Did you mean 'learning_rate'?" in said
    assert "epochs: Input should be greater than 0" in said
    said = refused("dpo.py", job(tmp_path, model, pairs()), capsys)
    assert "DPO needs a reference model, found none" in said
    uneven = job(tmp_path, model, examples(), batch_size=5, device_batch=2)
    assert "batch_size 5: not a multiple of 2" in refused("sft.py", uneven, capsys)
    monkeypatch.setenv("WORLD_SIZE", "2")
    apart = job(tmp_path, model, examples())
    assert "2 processes were started, but 1 work together" in refused("sft.py", apart, capsys)
    monkeypatch.delenv("WORLD_SIZE")
    # What was refused has left nothing behind that stands in the way of the corrected job.
    assert train("sft.py", job(tmp_path, model, examples())).is_dir()


@pytest.mark.slow
def test_an_output_folder_belongs_to_one_job(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("sft.py", job(tmp_path, model, examples()))
    changed = job(tmp_path, model, examples(), seed=2)
    assert "another training run" in refused("sft.py", changed, capsys)


def test_the_presets_are_the_papers_figures() -> None:
    assert Sft().model_dump(include={"learning_rate", "final_learning_rate"}) == {
        "learning_rate": 5.5e-6,
        "final_learning_rate": 1.1e-6,
    }
    dpo = Dpo()
    assert (dpo.learning_rate, dpo.final_learning_rate, dpo.beta) == (1e-6, 1e-7, 0.1)
    assert (dpo.batch_size, dpo.dropout, dpo.schedule) == (16, 0.1, "cosine")
    assert Dpo(preset="paper-v1").schedule == Sft(preset="paper-v1").schedule == "linear"
    assert Dpo(preset="paper-v1", schedule="cosine").schedule == "cosine"


def test_how_a_run_is_spread_over_a_machine_is_no_part_of_its_identity() -> None:
    spread = Sft(device_batch=2, launch=("accelerate", "launch"), bf16=True, save_every=7)
    assert spread.identity() == Sft().identity()
    assert Sft(preset="paper-v1").identity() == Sft(schedule="linear").identity()
    assert Sft(seed=1).identity() != Sft().identity()
    told = Sft(chat_template_kwargs={"enable_thinking": False}).identity()
    assert told == Sft().identity() | {"chat_template_kwargs": {"enable_thinking": False}}


def test_a_learning_rate_that_would_rise_is_refused() -> None:
    with pytest.raises(ValueError, match="is above learning_rate"):
        Sft(learning_rate=1e-7)


@pytest.mark.parametrize(
    ("name", "kind"), [("fsdp", "FSDP"), ("deepspeed", "DEEPSPEED"), ("offload", "DEEPSPEED")]
)
def test_accelerate_reads_the_configs(name: str, kind: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(ROOT / "train" / "configs" / f"{name}.yaml"))
    assert config.distributed_type == kind
