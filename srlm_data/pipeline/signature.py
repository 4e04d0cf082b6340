"""What a step's signature says.

A step is a plain function::

    def judge(config: Judge, candidates: Candidates, model: Models, engine: Engine) -> Judgments

Its first parameter is its config, the annotated dataset parameters are what it reads, ``engine``,
``workshop`` and ``versions`` are resources that the build lends, the return annotation is what it
makes.
Nothing else declares a step: no base class, no decorator.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final, Union

from srlm_data.core.config import Config
from srlm_data.core.errors import RecipeError, did_you_mean
from srlm_data.core.rows import Rows, Versions
from srlm_data.core.schema import DatasetType
from srlm_data.engines.protocol import Engine
from srlm_data.engines.settings import PLUGIN
from srlm_data.models.identity import Workshop

RESOURCES: Final = {Engine: "engine", Workshop: "workshop", Versions: "versions"}


@dataclass(frozen=True)
class Parameter:
    """A dataset parameter."""

    name: str
    # the dataset types that it accepts (``Judgments | Scores``); empty where any will do
    types: tuple[DatasetType, ...]
    form: str  # ``one`` dataset, a ``list`` of them, or a ``mapping`` from names to them
    required: bool  # whether a recipe must give it

    @property
    def wanted(self) -> str:
        """The types in words: ``judgments or scores``, ``any dataset``."""
        return " or ".join(dataset_type.name for dataset_type in self.types) or "any dataset"


@dataclass(frozen=True)
class Step:
    """A step, as its signature declares it."""

    name: str  # as a recipe writes it: ``judge``, or ``my_module:my_step``
    function: Callable[..., Rows]
    config: type[Config]
    parameters: Mapping[str, Parameter]
    resources: frozenset[str]  # any of ``engine``, ``workshop`` and ``versions``
    # the dataset type that it makes; None where its config decides (``sql``)
    makes: DatasetType | None

    @property
    def uses_model(self) -> bool:
        """Whether it asks a model, or trains or reads the files of one."""
        return bool(self.resources & {"engine", "workshop"})

    @property
    def summary(self) -> str:
        """The first sentence of the step's docstring."""
        return (inspect.getdoc(self.function) or "").split("\n\n")[0].replace("\n", " ")


def read_signature(name: str, function: Callable[..., Any]) -> Step:
    """Read a step off its function."""
    hints = typing.get_type_hints(function, include_extras=True)
    names = list(inspect.signature(function).parameters.values())
    if not names or not _is_config(hints.get(names[0].name)):
        raise RecipeError(
            f"step '{name}': its first parameter must be a config, found "
            f"{names[0] if names else 'no parameter'}. Annotate it with a subclass of Config."
        )
    parameters: dict[str, Parameter] = {}
    resources: set[str] = set()
    for parameter in names[1:]:
        hint = hints.get(parameter.name)
        if hint in RESOURCES:
            resources.add(RESOURCES[hint])
            continue
        read = _dataset(hint)
        if read is None:
            raise RecipeError(
                f"step '{name}': parameter '{parameter.name}' is neither a dataset nor a resource, "
                f"found {hint}. Annotate it with Candidates, list[Examples], Engine or the like."
            )
        parameters[parameter.name] = Parameter(
            parameter.name, *read, parameter.default is inspect.Parameter.empty
        )
    config = hints[names[0].name]
    both = parameters.keys() & config.model_fields.keys()
    if both:
        raise RecipeError(
            f"step '{name}': {sorted(both)} name both a dataset and a config field. Rename one."
        )
    if "engine" in resources and "model" not in parameters:
        raise RecipeError(
            f"step '{name}': it has an engine but no parameter 'model: Models'. Add it."
        )
    makes = _dataset(hints.get("return"))
    if makes is None or len(makes[0]) > 1:
        raise RecipeError(
            f"step '{name}': it must return rows, found {hints.get('return')}. "
            "Annotate the return with Candidates, Pairs or the like."
        )
    made_type = makes[0][0] if makes[0] else None
    return Step(name, function, config, parameters, frozenset(resources), made_type)


def look_for_steps_in(*folders: Path) -> None:
    """Have steps and engines of a user's own looked for in these folders, in this order.

    They come behind what is installed: a duckdb.py in a stranger's folder is not the one that we
    import.
    """
    for folder in map(str, folders):
        if folder not in sys.path:
            sys.path.append(folder)


def find_step(name: str, shipped: Mapping[str, Callable[..., Any]]) -> Step:
    """A shipped step by its name, or a user's own as ``my_module:my_step``."""
    if name in shipped:
        return read_signature(name, shipped[name])
    module_name, _, function_name = name.partition(":")
    if not re.fullmatch(PLUGIN, name):
        raise RecipeError(
            f"unknown step '{name}'.{did_you_mean(name, shipped)} 'srlm-data steps' lists them; "
            "a step of your own is written my_module:my_step."
        )
    try:
        function = getattr(importlib.import_module(module_name), function_name)
        inspect.signature(function)
    except (ImportError, AttributeError, SyntaxError, TypeError, ValueError) as error:
        raise RecipeError(
            f"step '{name}': cannot import it, found '{error}'. Name a function of a module."
        ) from None
    return read_signature(name, function)


def _is_config(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, Config)


def _dataset(hint: Any) -> tuple[tuple[DatasetType, ...], str] | None:
    """Return the dataset types and the form of an annotation; None if it is no dataset."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Rows:
        return (), "one"
    if origin is Annotated and arguments[0] is Rows:
        return tuple(mark for mark in arguments[1:] if isinstance(mark, DatasetType)), "one"
    if origin in (Union, types.UnionType):
        inner = [_dataset(argument) for argument in arguments if argument is not type(None)]
        several = [read[0] for read in inner if read and read[1] == "one" and read[0]]
        whole = tuple(chain.from_iterable(several)), "one"
        return inner[0] if len(inner) == 1 else whole if len(several) == len(inner) else None
    if origin is list and (inner_read := _dataset(arguments[0])):
        return inner_read[0], "list"
    if origin is dict and (inner_read := _dataset(arguments[1])):
        return inner_read[0], "mapping"
    return None
