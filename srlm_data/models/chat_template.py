"""Chat templates: what turns a conversation into a model's text, and what ends an answer in it.

A base model has none, so ``checkpoint`` and ``sft`` take one: a shipped name or a Jinja file beside
the recipe. A model with another template is another model: it is named by the template, too, and
what is trained of it is saved with it.

    chat_template: chatml     # or my_template.jinja
    system: fold              # for a template that refuses system turns, or two of a role in a row
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pydantic
from pydantic import ValidationInfo

from srlm_data.core import templates
from srlm_data.core.config import base_folder
from srlm_data.core.errors import SrlmError
from srlm_data.core.messages import for_template
from srlm_data.core.schema import Message
from srlm_data.core.templates import Template
from srlm_data.models.identity import CHAT_TEMPLATE

_SHIPPED: Final = Path(__file__).parent / "templates" / "*.jinja"
_FOLD: Final = "fold.jinja.part"
_OLDER: Final = (CHAT_TEMPLATE, "chat_template.json", "additional_chat_templates")
_MARK: Final = re.compile(r"<\|\w+\|>|<\w+_of_turn>")
_ANSWER: Final = "answer5150"
WORDLESS: Final = "the chat template omits what a user says. Set another 'chat_template'"


SECONDS: Final = 3
MEMORY: Final = 1 << 30

_TOO_LONG: Final = f"that takes over {SECONDS} seconds for three turns"
_TOO_MUCH: Final = f"that takes over {MEMORY >> 30} GiB of memory for three turns"
_PROGRAM: Final = f"""
import re, resource, sys
from jinja2 import meta
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
text = re.sub(r"{{%-?\\s*(end)?generation\\s*-?%}}", "", sys.stdin.read())
asked = [{{"role": "user", "content": "?"}}]
answered = [*asked, {{"role": "assistant", "content": "{_ANSWER}"}}]
try:
    environment = ImmutableSandboxedEnvironment(extensions=[loopcontrols])
    if list(meta.find_referenced_templates(environment.parse(text))):
        sys.exit(78)
    template, tokens = environment.from_string(text), dict(bos_token="<s>", eos_token="</s>")
    template.render(messages=answered + asked, add_generation_prompt=True, **tokens)
    _, said, end = template.render(messages=answered, **tokens).partition("{_ANSWER}")
    if said and not end.strip():
        sys.exit(79)
except (MemoryError, OverflowError):
    sys.exit(77)
except Exception:
    pass  # whoever uses it says so
"""


def shipped() -> list[str]:
    """Return the names of the templates that come with the package."""
    return templates.shipped(_SHIPPED)


def _load(value: object, info: ValidationInfo) -> Template:
    if isinstance(value, Template):
        return value
    name = str(value)
    text = templates.read_text(name, base_folder(info), _SHIPPED, "chat template")
    text = text.removesuffix("\n")
    if name not in shipped() and (unusable := describe_fault(text, learned=True)):
        raise ValueError(f"'{name}' is a chat template {unusable}")
    if "messages" not in text:
        raise ValueError(f"'{name}' is not a chat template: it never uses 'messages'")
    return Template(name, text)


ChatTemplate = Annotated[
    Template,
    pydantic.PlainValidator(_load),
    pydantic.PlainSerializer(lambda template: {"text": template.text}),
    pydantic.WithJsonSchema({"type": "string"}),
]
"""A shipped chat template's name, or a Jinja file beside the recipe; only its text is identity."""

SystemTurns = Literal["fold"]
"""``fold`` makes system turns the beginning of user turns, and merges neighbours of one role."""

_NOT_FOR_TEMPLATES: Final = frozenset(
    "conversation messages tools chat_template add_generation_prompt continue_final_message "
    "tokenize tokenizer_kwargs padding truncation max_length return_tensors return_dict "
    "return_assistant_tokens_mask".split()
)
"""Arguments of apply_chat_template that the engine sets, so no variables of a template."""


def _refuse_arguments(values: dict[str, Any]) -> dict[str, Any]:
    if arguments := sorted(_NOT_FOR_TEMPLATES & values.keys()):
        names = ", ".join(arguments)
        raise ValueError(f"{names}: set by the engine, and no variable of a template")
    return values


TemplateOptions = Annotated[dict[str, Any], pydantic.AfterValidator(_refuse_arguments)]
"""Variables passed to a chat template beside the conversation, such as enable_thinking."""


def compose(own: str | None, named: Template | None, system: SystemTurns | None) -> str | None:
    """Return the template that a model is used with: the named one, else its own.

    Folding is written into the template, so that every engine, trainer and server that has the
    text folds alike.
    """
    text = own if named is None else named.text
    if system is None or text is None:
        return text
    fold = _SHIPPED.with_name(_FOLD).read_text(encoding="utf-8")
    return text if text.startswith(fold) else fold + text


def dress(folder: Path, template: str, target: Path) -> Path:
    """Make ``target`` the model of ``folder`` with another chat template; its files are linked."""
    target.mkdir(parents=True)
    for file in folder.iterdir():
        if file.name in _OLDER or not file.is_file():
            continue
        copy = target / file.name
        try:
            os.link(file.resolve(), copy)
        except OSError:  # hard links cannot cross file systems
            copy.symlink_to(file.resolve())
    (target / CHAT_TEMPLATE).write_text(template + "\n", encoding="utf-8")
    return target


@functools.cache
def describe_fault(template: str, *, learned: bool = False) -> str | None:
    """Return why a template is not to be used, a phrase ("that ..."); None where it can be.

    One that a model is to be trained with (``learned``) must write something behind an answer.

    A template is a program by the model's author. No sandbox bounds how long it loops or how much
    text it writes, so it is tried in a process with limited time and memory.
    """
    try:
        probe = subprocess.run(
            [sys.executable, "-I", "-c", _PROGRAM],
            input=template.encode(errors="replace"),
            capture_output=True,
            timeout=SECONDS * 4,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _TOO_LONG
    if probe.returncode < 0:  # a signal, as the CPU limit sends
        return _TOO_LONG
    faults = {77: _TOO_MUCH, 78: "that includes another file"}
    if learned:
        faults[79] = "that writes nothing after an answer: what learns it would not stop"
    return faults.get(probe.returncode)


def end_of_turn(tokenizer: Any) -> str:
    """Return what the template writes behind an answer: a model stops there. Empty for nothing."""
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _ANSWER}]
    text: str = tokenizer.apply_chat_template(turns, tokenize=False)
    return text.partition(_ANSWER)[2].strip()


def leaves_out_words(tokenizer: Any) -> bool:
    """Return whether the template omits text, as one for images that wants content parts does."""
    turns = [{"role": "user", "content": _ANSWER}]
    return _ANSWER not in tokenizer.apply_chat_template(turns, tokenize=False)


def end_token(tokenizer: Any) -> int | None:
    """Return the token that ends an answer; None where the end is spelled out, or there is none."""
    tokens: list[int] = tokenizer.encode(end_of_turn(tokenizer), add_special_tokens=False)
    if tokens and (len(tokens) == 1 or tokens[0] in tokenizer.added_tokens_decoder):
        return tokens[0]
    return None


def add_tokens(tokenizer: Any) -> None:
    """Make tokens of the template's marks, and of what ends an answer, where they are none yet."""
    known = tokenizer.get_vocab()
    marks = [mark for mark in _MARK.findall(tokenizer.chat_template) if mark not in known]
    tokenizer.add_tokens(list(dict.fromkeys(marks)), special_tokens=True)
    if end_token(tokenizer) is None:
        tokenizer.add_tokens(end_of_turn(tokenizer), special_tokens=True)
    end = end_token(tokenizer)
    if end not in (None, *known.values()) and "eos_token" not in tokenizer.chat_template:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)  # some programs stop only there


def fault(tokenizer: Any, *, named: bool) -> str | None:
    """Return why the template cannot be used, a sentence; ``named`` is one that a recipe names."""
    try:
        end, wordless = end_of_turn(tokenizer), leaves_out_words(tokenizer)
    except Exception as error:  # noqa: BLE001 - a template may raise anything
        return f"the chat template does not write a question and its answer, found '{error}'."
    if wordless:
        return f"{WORDLESS}."
    if not end:
        return (
            "the chat template writes nothing after an answer, so a model trained with it would "
            "not stop. Set one that ends a turn (chatml adds a token for it)."
        )
    begins = tokenizer("?")["input_ids"][:1] == [tokenizer.bos_token_id]
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False)
    if named and begins and not asked.startswith(tokenizer.bos_token):
        return (
            f"the tokenizer begins every text with {tokenizer.bos_token}, and the chat template "
            "does not. Begin it with {{ bos_token }}."
        )
    return None


def fault_of(folder: Path, *, named: bool) -> str | None:
    """Return what :func:`fault` says of a model's folder; None where it cannot be loaded here."""
    tokenizer = _load_tokenizer(str(folder))
    return None if tokenizer is None else fault(tokenizer, named=named)


def refused(
    model: str,
    conversations: Iterable[Sequence[Message]],
    revision: str | None = None,
    *,
    trust_remote_code: bool = False,
) -> tuple[int, str] | None:
    """Return the place of the first conversation that a model's template refuses, and why.

    The model is a folder, or a Hub name and its revision.
    """
    tokenizer = _load_tokenizer(model, revision=revision, trust_remote_code=trust_remote_code)
    if tokenizer is None or tokenizer.chat_template is None:
        return None  # the engine reports this
    for place, conversation in enumerate(conversations):
        turns, tools = for_template(conversation)
        try:
            tokenizer.apply_chat_template(
                turns, tools=tools, add_generation_prompt=True, tokenize=False
            )
        except Exception as error:  # noqa: BLE001 - a template may raise anything
            return place, str(error).rstrip(".")
    return None


def _load_tokenizer(model: str, **options: Any) -> Any:
    """Return a model's tokenizer, or None if it cannot be loaded: the engine then reports why."""
    try:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(model, **{"trust_remote_code": False} | options)
    except SrlmError:
        raise
    except Exception:  # noqa: BLE001 - files of other library versions may raise anything
        return None
