"""Forms of data that people publish, through the real command line: what becomes of each.

Every form is written down by what its publisher calls it, with the rows or the drops that a careful
reader expects.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from checkout import Cli
from srlm_data.core.errors import DataError
from srlm_data.core.messages import assistant
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.steps.read import ReadPrompts, read_prompts
from srlm_data.store import Store

GOOD, BAD = "A drink.", "Rum."


class Form(NamedTuple):
    """A record, and what must become of it: a row with this prompt, or a drop under a reason."""

    kind: str
    name: str
    record: dict[str, Any]
    prompt: list[dict[str, str]] | None = None
    dropped: str | None = None
    scores: tuple[float | None, float | None] = (None, None)
    settings: Mapping[str, Any] = MappingProxyType({})


TABLE = yaml.safe_load(Path(__file__).with_name("field_forms.yaml").read_text())
FORMS = [Form(kind, name, **form) for kind, forms in TABLE.items() for name, form in forms.items()]


def row(form: Form) -> dict[str, Any]:
    if form.kind == "examples":
        return {"prompt": form.prompt, "completion": assistant(GOOD)}
    if form.kind == "prompts":
        return {"prompt": form.prompt}
    sides = {"prompt": form.prompt, "chosen": assistant(GOOD), "rejected": assistant(BAD)}
    return sides | dict(zip(("chosen_score", "rejected_score"), form.scores, strict=True))


def build_rows(cli: Cli, folder: Path, datasets: dict[str, Any]) -> Store:
    recipe = folder / "forms.yaml"
    recipe.write_text(yaml.safe_dump({"datasets": datasets}))
    built = cli("build", recipe)
    assert built.returncode == 0, built.stderr
    return Store(folder / "store")


@pytest.mark.slow
def test_forms_that_people_publish_become_the_rows_that_a_careful_reader_expects(
    cli: Cli, project: Path
) -> None:
    datasets = {}
    for form in FORMS:
        (project / f"{form.name}.jsonl").write_text(json.dumps(form.record) + "\n")
        files = {"step": f"read_{form.kind}", "files": f"{form.name}.jsonl", "allow_empty": True}
        datasets[form.name] = files | dict(form.settings)
    store = build_rows(cli, project, datasets)
    wrong = []
    for form in FORMS:
        manifest = store.resolve(f"forms.{form.name}")
        rows = [{name: one[name] for name in row(form)} for one in store.rows(manifest).dicts()]
        wanted = ([], {form.dropped: 1}) if form.dropped else ([row(form)], {})
        if (rows, manifest.drops) != wanted:
            wrong.append((form.name, rows, manifest.drops))
    assert wrong == []


LINE = b'{"prompt": "caf\xc3\xa9\\nnoir"}\n'
TEXT = "caf\u00e9\nnoir"
CSV = b'id,prompt\n1,"caf\xc3\xa9\nnoir"\n'


MAP = pa.map_(pa.string(), pa.string())


def zst(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


def parquet(values: pa.Array) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"prompt": values}), sink)
    return sink.getvalue()


def two_columns() -> bytes:
    sink, table = io.BytesIO(), pa.Table.from_arrays([[TEXT], ["b"]], names=["prompt"] * 2)
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    return sink.getvalue()


def semicolons() -> bytes:
    file = io.StringIO()
    csv.writer(file, delimiter=";").writerows([["id", "prompt"], ["1", TEXT], ["2", "b, c"]])
    return file.getvalue().encode()


CONTAINERS: dict[str, tuple[bytes, list[str]]] = {
    "quoted_newlines.csv": (CSV + b'2,"say ""hi"", then"\n', [TEXT, 'say "hi", then']),
    "windows.csv": (CSV.replace(b"\n1,", b"\r\n1,")[:-1] + b"\r\n2,b\r\n", [TEXT, "b"]),
    "mark.csv": (codecs.BOM_UTF8 + b'prompt\n"caf\xc3\xa9\nnoir"\n', [TEXT]),
    "excel.csv": (b'prompt\r\n"caf\xc3\xa9\nnoir"\r\nb\r\n', [TEXT, "b"]),
    "old_mac.csv": (b"id,prompt\r1,b\r2,c\r", ["b", "c"]),
    "index.csv": (b",prompt\n0,b\n1,c\n", ["b", "c"]),
    "semicolons.csv": (semicolons(), [TEXT, "b, c"]),
    "asides.csv": (b"prompt\nb; c\nd; e\n", ["b; c", "d; e"]),
    "long_cell.csv": (b"id,prompt\n1," + b"b" * 3_000_000 + b"\n", ["b" * 3_000_000]),
    "one_column.csv": (b"prompt\n5\nNA\n007\n", ["5", "NA", "007"]),
    "wide.tsv": (b'id\tprompt\n1\t"caf\xc3\xa9\nnoir"\n2\ta, b\n', [TEXT, "a, b"]),
    "mark.tsv.gz": (gzip.compress(codecs.BOM_UTF8 + b"prompt\tid\nb\t1\n"), ["b"]),
    "mark.jsonl": (codecs.BOM_UTF8 + LINE, [TEXT]),
    "windows.jsonl": (LINE.replace(b"}\n", b"}\r\n") * 2 + b"\r\n", [TEXT]),
    "LOUD.JSONL.GZ": (gzip.compress(LINE), [TEXT]),
    "members.jsonl.gz": (gzip.compress(LINE) + gzip.compress(b'{"prompt": "b"}'), [TEXT, "b"]),
    "frames.ndjson.zst": (zst(LINE) + zst(b'{"prompt": "b"}\n'), [TEXT, "b"]),
    "array.json.zst": (zst(b"[" + LINE + b', {"prompt": "b"}]'), [TEXT, "b"]),
    "mark.json": (codecs.BOM_UTF8 + b"[" + LINE + b"]", [TEXT]),
    "spread.json": (b'{\n "prompt": "b"\n}\n{\n "prompt": "c"\n}\n', ["b", "c"]),
    "one.json": (b'{"prompt": "b"}', ["b"]),
    "codes.parquet": (parquet(pa.array([TEXT, "b", TEXT]).dictionary_encode()), [TEXT, "b"]),
    "large.parquet": (parquet(pa.array([TEXT], pa.large_string())), [TEXT]),
    "map.parquet": (parquet(pa.array([[("role", "user"), ("content", "b")]], MAP)), ["b"]),
    "packed.parquet.gz": (gzip.compress(parquet(pa.array([TEXT]))), [TEXT]),
}
"""A file's name, what is in it, and the prompts that must come out of it."""


@pytest.mark.slow
def test_files_as_they_come_are_read(cli: Cli, project: Path) -> None:
    datasets = {}
    for name, (data, _) in CONTAINERS.items():
        (project / name).write_bytes(data)
        datasets[name.lower().replace(".", "_")] = {"step": "read_prompts", "files": name}
    mixed = project / "mixed"
    (mixed / "deep" / "er").mkdir(parents=True)
    (mixed / ".cache").mkdir()
    files = {
        "a.jsonl": LINE,
        "deep/b.csv": b"prompt\nb\n",
        "deep/er/c.jsonl.zst": zst(b'{"prompt": "c"}'),
        "README.md": b"# hello",
        "deep/photo.png": b"\x89PNG",
        ".cache/d.jsonl": b"broken",
        "dataset_infos.json": b"{}",
    }
    for name, data in files.items():
        (mixed / name).write_bytes(data)
    datasets["mixed"] = {"step": "read_prompts", "files": "mixed"}
    datasets["pattern"] = {"step": "read_prompts", "files": "mixed/**/*.[cj]s*v*"}
    wanted = {name.lower().replace(".", "_"): texts for name, (_, texts) in CONTAINERS.items()}
    wanted |= {"mixed": [TEXT, "b", "c"], "pattern": ["b"]}
    store = build_rows(cli, project, datasets)
    read = {}
    for name in datasets:
        rows = store.rows(store.resolve(f"forms.{name}")).dicts()
        read[name] = sorted(one["prompt"][0]["content"] for one in rows)
    assert read == {name: sorted(texts) for name, texts in wanted.items()}


REFUSED: dict[str, tuple[bytes, str]] = {
    "latin.jsonl": ('{"prompt": "caf\u00e9"}\n'.encode("latin-1"), "in UTF-8"),
    "latin.csv": ("prompt\ncaf\u00e9\n".encode("latin-1"), "not utf-8"),
    "wide.jsonl": ('{"prompt": "b"}\n'.encode("utf-16"), "this is text in UTF-16"),
    "unmarked.jsonl": ('{"prompt": "b"}\n'.encode("utf-16-le"), "this is text in UTF-16"),
    "wide.csv": ("prompt\nb\n".encode("utf-16"), "this is text in UTF-16"),
    "twice.jsonl.gz": (gzip.compress(gzip.compress(LINE)), "this is gzip"),
    "twice.jsonl.zst": (zst(zst(LINE)), "this is Zstandard"),
    "zipped.jsonl": (b"PK\x03\x04....", "a ZIP archive"),
    "cut.jsonl.gz": (gzip.compress(LINE * 1000)[:-20], "cannot be read on after"),
    "cut.csv.zst": (zst(b"prompt\n" + b"b\n" * 300_000)[:-9], "Truncated compressed stream"),
    "blank.csv": (b"\nprompt\nb\n", "blank.csv:1: expected the column names"),
    "cut.json": (b"[" + LINE + b', {"prompt": "b', "cannot be read on after|JSON"),
    "cut.parquet": (parquet(pa.array([TEXT]))[:-9], "cannot be read on after"),
    "keys.jsonl": (LINE + b'{"prompt": "b", "prompt": "c"}\n', ":2: .*'prompt' occurs twice"),
    "keys.json": (b'[{"prompt": "b", "prompt": "c"}]', "record 1: .*'prompt' occurs twice"),
    "keys.csv": (b"prompt,prompt\nb,c\n", "'prompt' occurs twice"),
    "columns.arrow": (two_columns(), "'prompt' occurs twice"),
    "uneven.csv": (b"id,prompt\n1,b\n2,c,d,e\n3,f\n", "Line: 3, Expected Number of Columns: 2"),
    "open_quote.csv": (b'id,prompt\n1,"open\n2,b\n', "Line: 2, .*unterminated quote"),
    "wrapped.json": (b'{"data": [{"prompt": "b"}]}', r"no column 'prompt', found \['data'\]"),
    "page.csv": (b"<!DOCTYPE html><html>", "an HTML page"),
    "pointer.parquet": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
}
"""A file's name, what is in it, and what the one sentence about it says."""


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_read_is_told_in_one_sentence(tmp_path: Path, name: str) -> None:
    data, sentence = REFUSED[name]
    (tmp_path / name).write_bytes(data)
    rows = read_prompts(ReadPrompts.model_validate({"files": str(tmp_path / name)}))
    with pytest.raises(DataError, match=sentence) as refused:
        rows.count()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.jsonl", b""),
        ("empty.csv", b""),
        ("blank.json", b"\n\n"),
        ("array.json", b"[]"),
        ("header.tsv", b"prompt\tid\n"),
    ],
)
def test_a_file_without_records_is_no_dataset(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    recipe, store = tmp_path / "forms.yaml", Store(tmp_path / "store")
    recipe.write_text(f"datasets:\n  rows: {{step: read_prompts, files: {name}}}\n")
    with pytest.raises(DataError, match="rows: made no prompts, because there is no record"):
        build(load(recipe), store)
    recipe.write_text(recipe.read_text().replace("}", ", allow_empty: true}"))
    assert build(load(recipe), store)["forms.rows"].rows == 0
