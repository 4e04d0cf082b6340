"""The house: floors that can be seen, arrows that lead down, and a map that is true."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from functools import cache

import pytest

import srlm_data
from checkout import ROOT
from srlm_data.pipeline import registry

PACKAGE = ROOT / "srlm_data"


def entry(module: str) -> str:
    """The entry of `ls srlm_data` that a module lies in."""
    return module.split(".")[1] if "." in module else "__init__"


@cache
def imports() -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports, lazily or not, types included."""
    files = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in PACKAGE.rglob("*.py")
    }
    imported: dict[str, set[str]] = {}
    for module, file in files.items():
        targets = imported.setdefault(module, set())
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                targets |= {name if name in files else node.module for name in names}
        imported[module] = {name for name in targets if name.split(".")[0] == "srlm_data"}
    return imported


@cache
def arrows() -> set[tuple[str, str]]:
    """The pairs of entries of which the first imports from the second."""
    pairs = {
        (entry(module), entry(target))
        for module, targets in imports().items()
        for target in targets
    }
    return {(first, second) for first, second in pairs if first != second}


@cache
def floors() -> dict[str, int]:
    """Package -> its floor by the import contract, the lowest being 1."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [contract] = [
        contract
        for contract in config["tool"]["importlinter"]["contracts"]
        if contract["id"] == "floors"
    ]
    return {
        name: floor
        for floor, layer in enumerate(reversed(contract["layers"]), start=1)
        for name in re.findall(r"\w+", layer)
    }


def test_one_sees_the_whole_house_at_once() -> None:
    entries = [path for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 16
    assert {path.name for path in entries if path.is_dir()} == set(floors())


def test_arrows_between_the_packages_are_few_and_lead_down() -> None:
    assert len(arrows()) <= 70
    between = {pair for pair in arrows() if set(pair) <= set(floors())}
    assert between
    assert [pair for pair in between if floors()[pair[0]] < floors()[pair[1]]] == []


def test_no_packages_import_each_other_in_a_circle() -> None:
    left = set(arrows())
    while True:
        leaves = {second for _, second in left} - {first for first, _ in left}
        rest = {pair for pair in left if pair[1] not in leaves}
        if rest == left:
            break
        left = rest
    assert left == set()


@pytest.mark.parametrize("name", sorted(floors()))
def test_a_package_says_its_floor(name: str) -> None:
    docstring = importlib.import_module(f"srlm_data.{name}").__doc__
    assert docstring
    assert docstring.startswith(f"Floor {floors()[name]}. ")


def test_the_table_of_floors_is_the_contract() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| `(\w+)` \|", text, re.MULTILINE)
    assert {name: int(floor) for floor, name in rows} == floors()


def test_a_command_is_a_file_of_its_name() -> None:
    files = {file.stem for file in (PACKAGE / "cli").glob("[!_]*.py")}
    commands = importlib.import_module("srlm_data.cli").cli.commands
    assert files == {name.replace("-", "_") for name in commands}


@cache
def text_outside() -> str:
    """What is written beside the package, tests left out: it may import public modules too."""
    return "\n".join(
        file.read_text(encoding="utf-8")
        for folder in ("benchmarks", "docs", "notebooks", "recipes", "tools", "train")
        for file in sorted((ROOT / folder).rglob("*"))
        if file.suffix in {".py", ".md", ".yaml", ".ipynb"}
    )


def used_outside(module: str) -> bool:
    """Whether something outside of a module's folder uses it."""
    package, _, name = module.rpartition(".")
    inside = [
        user
        for user, targets in imports().items()
        if any(target == module or target.startswith(f"{module}.") for target in targets)
        and user != package
        and not user.startswith(f"{package}.")
    ]
    imported = rf"from {re.escape(package)} import [^\n]*\b{name}\b"
    return bool(inside or module in text_outside() or re.search(imported, text_outside()))


NAMED = {"srlm_data.engines.backends"}
"""Packages whose modules are found by their names: the command's, the engine's."""


def test_a_module_that_only_its_package_uses_begins_with_an_underscore() -> None:
    public = {f"srlm_data.{module}" for module in (*srlm_data._NAMES, *registry._MODULES)}
    nobody = [
        module
        for module in imports()
        if module.count(".") > 1
        and "._" not in module
        and not module.startswith(("srlm_data.cli.", *NAMED))
        and module not in public
        and not used_outside(module)
    ]
    assert nobody == []


def test_a_private_module_is_used_by_its_package_alone() -> None:
    rooms = [
        (user, target)
        for user, targets in imports().items()
        for target in targets
        if "._" in target
        and not f"{user}.".startswith(f"{target.partition('._')[0]}.")
        and (user, target) not in LENT
    ]
    assert rooms == []


LENT = {
    ("srlm_data.engines._server_faults", "srlm_data.engines.backends._bounded_client"),
    ("srlm_data.publish._models", "srlm_data.pipeline._resources"),
}
"""Private modules that another package uses; this list may only become shorter."""

FOR_VARIANTS = {
    "srlm_data.core.database",
    "srlm_data.core.ids.held_out_share",
    "srlm_data.core.rows.BATCH",
    "srlm_data.models.logprobs.Reader",
    "srlm_data.steps.judging.comparing.compare_in_both_orders",
    "srlm_data.steps.judging.comparing.Comparing",
    "srlm_data.steps.judging.comparing.ComparisonTemplate",
    "srlm_data.steps.pairs.rules.Reasoning",
    "srlm_data.steps.pairs.rules.rows_of",
    "srlm_data.steps.seed",
    "srlm_data.steps.sifting.leave_out",
}
"""What variants use beside the public names: DuckDB, and what the paper's steps share."""


def test_variants_use_what_a_step_of_your_own_may_use() -> None:
    public = {
        f"srlm_data.{module}.{name}"
        for module, names in srlm_data._NAMES.items()
        for name in names.split()
    }
    used = {
        f"{node.module}.{alias.name}"
        for file in (PACKAGE / "variants").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("srlm_data")
        for alias in node.names
    }
    assert used - public == FOR_VARIANTS


def test_the_formatter_is_overruled_less_and_less() -> None:
    mark = "# fmt: " + "skip"
    counts = {
        folder: sum(
            file.read_text(encoding="utf-8").count(mark) for file in (ROOT / folder).rglob("*.py")
        )
        for folder in ("srlm_data", "train", "tests")
    }
    assert counts["srlm_data"] + counts["train"] == 0
    assert counts["tests"] <= 185


VAGUE = {"one", "found", "made", "told", "kept", "said", "given"}


def test_fewer_and_fewer_names_say_nothing_of_what_they_are() -> None:
    names = [
        node.id if isinstance(node, ast.Name) else node.arg
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.arg) or (isinstance(node, ast.Name) and type(node.ctx) is ast.Store)
    ]
    assert sum(name in VAGUE for name in names) <= 25


def test_the_map_takes_two_pages_at_most() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) <= 110


SPELLINGS = re.compile("judg" + "ement|lic" + "ence", re.IGNORECASE)


def test_a_word_has_one_spelling() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{number}"
        for folder in ("srlm_data", "train", "recipes", "docs", "notebooks", "tests", "tools")
        for file in sorted((ROOT / folder).rglob("*"))
        if file.suffix in {".py", ".md", ".yaml", ".sql", ".txt", ".jinja", ".js", ".ipynb"}
        and file.name != "words.yaml"  # the words of models, in any spelling
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if SPELLINGS.search(line)
    ]
    assert wrong == []
