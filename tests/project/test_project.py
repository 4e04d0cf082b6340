"""The project around the code: what is shipped, what is promised, and what must not be in it."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from checkout import ROOT

HEAVY = ("torch", "transformers", "trl", "peft", "vllm", "ray", "datasets", "openai")

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def tracked_files() -> list[Path]:
    """The files of the checkout: tracked ones, and new ones that are not ignored."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    files = (ROOT / name for name in listing.stdout.split("\0") if name)
    return [file for file in files if file.is_file()]


def light_modules() -> list[str]:
    """Every module but those whose work is to run a model."""
    modules = []
    for file in sorted((ROOT / "srlm_data").rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        if parts[:2] == ("srlm_data", "demo") or parts[-1] == "__main__":
            continue
        behind = {("engines", "backends"), ("engines", "_server_faults")}
        if parts[1:3] in behind:
            continue
        modules.append(".".join(parts).removesuffix(".__init__"))
    return modules


def test_no_module_that_runs_no_model_imports_a_model_library() -> None:
    code = (
        "import importlib, sys\n"
        f"for name in {light_modules()!r}: importlib.import_module(name)\n"
        f"print(*(name for name in {HEAVY!r} if name in sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == []


def test_the_command_that_is_installed_exists() -> None:
    module, _, function = PROJECT["scripts"]["srlm-data"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    versions = re.findall(r"^## \[?(\d[^\]\s]*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == PROJECT["version"]


def test_every_dependency_is_pinned_within_its_range() -> None:
    requirements = pytest.importorskip("packaging.requirements")
    pinned: dict[str, set[str]] = {}
    for line in (ROOT / "requirements/ci.txt").read_text().splitlines():
        name, version = line.split(";")[0].strip().split("==")
        pinned.setdefault(name.replace("_", "-").lower(), set()).add(version)
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + extras["train"] + extras["hub"] + extras["openai"]
    for text in wanted + extras["dev"]:
        requirement = requirements.Requirement(text)
        versions = pinned.get(requirement.name.replace("_", "-").lower(), set())
        assert versions, f"{requirement.name} is not pinned: make pins"
        assert all(version in requirement.specifier for version in versions), (text, versions)


@pytest.mark.slow
def test_the_wheel_has_all_that_the_package_reads_at_run_time(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())

    wanted = {"srlm_data/py.typed"}
    for file in tracked_files():
        name = file.relative_to(ROOT).as_posix()
        if name.startswith("srlm_data/"):
            wanted.add(name)
        if name.startswith(("recipes/", "train/")):
            wanted.add(f"srlm_data/{name}")
    assert wanted - shipped == set()
    beside = {name.split("/")[0] for name in shipped}
    assert beside == {"srlm_data", f"srlm_data-{PROJECT['version']}.dist-info"}


def test_an_editable_install_makes_the_package_importable_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = pytest.importorskip("hatchling.build")
    monkeypatch.chdir(ROOT)
    wheel = zipfile.ZipFile(tmp_path / backend.build_editable(str(tmp_path)))
    wheel.extractall(tmp_path / "site")
    # Read as an interpreter reads it at its start, in a folder that shows it nothing else.
    code = (
        "import importlib.util, site, sys\n"
        f"site.addsitedir({str(tmp_path / 'site')!r})\n"
        "names = ('srlm_data', 'benchmarks', 'hatch_build', 'tests', 'tools', 'train')\n"
        "print(*(name for name in names if importlib.util.find_spec(name)))\n"
        "import srlm_data.models.training as training\n"
        "print(training.script('sft.py'))"
    )
    command = [sys.executable, "-S", "-c", code]
    packages = [path for path in sys.path if path.endswith("site-packages")]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": os.pathsep.join(packages)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["srlm_data", str(ROOT / "train" / "sft.py")], done.stderr


# Spelt in parts, so that this file passes its own test.
FORBIDDEN = re.compile(
    "|".join(
        [
            r"(?<![\w.])/(?:" + "work|root|home" + r")/\w",  # a place on somebody's machine
            r"/tmp/" + r"\w",
            r"file:" + r"//",
            r"(?:pypi|pythonhosted)\." + r"org",
            r"[\w-]+\.(?:internal|corp|local)" + r"\b(?=[/:])",
        ]
    )
)


def test_no_file_names_a_place_that_only_one_machine_has() -> None:
    found = []
    for file in tracked_files():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # weights and other binary files
        for number, line in enumerate(text.splitlines(), start=1):
            if match := FORBIDDEN.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {match[0]}")
    assert found == []


def test_nothing_large_is_committed() -> None:
    large = [file.name for file in tracked_files() if file.stat().st_size > 4 * 2**20]
    assert large == []


def test_no_cleaned_up_word_comes_back_as_a_module_name() -> None:
    vague = {"utils", "util", "base", "common", "helpers", "misc", "manager"}
    names = {file.stem for file in tracked_files() if file.suffix == ".py"}
    assert names & vague == set()
