"""examples -> prompts: new prompts in the style of the seed (paper, section 2.2 and A.5).

``self_instruct`` shows a model some seed prompts and some of its earlier ones, and filters what it
adds, as in Self-Instruct. It stops when it has enough, or when nothing new comes.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field

from srlm_data.core.config import Expected, Lengths, Template, fills
from srlm_data.core.errors import DataError
from srlm_data.core.ids import prompt_id
from srlm_data.core.messages import render, user
from srlm_data.core.rows import Drops, Examples, Models, Prompts, Rows
from srlm_data.core.schema import PROMPTS
from srlm_data.engines.asking import answered, ask, report_progress
from srlm_data.engines.protocol import Completion, Engine, Request, request_seed
from srlm_data.engines.sampling import SamplingConfig
from srlm_data.steps._novelty import Novelty
from srlm_data.steps._words import count_words
from srlm_data.steps.self_instruct._filters import MOST_WORDS, flaw
from srlm_data.steps.self_instruct._languages import name_language, seed_language
from srlm_data.steps.self_instruct._lists import new_prompts, one_line
from srlm_data.steps.self_instruct._progress import WINDOW, Progress

_LOG = logging.getLogger(__name__)

_ADVICE: Final = (
    "Show other examples, raise 'max_similarity', ask another model, or lower 'n'; "
    "'min_yield: 0' asks on."
)


class SelfInstruct(SamplingConfig):
    """How many prompts are made, and from which examples."""

    calls_are_fewest = True
    n: int = Field(ge=1, le=10**9, description="Number of new prompts to make.")
    seed_shots: int = Field(6, ge=1, description="Seed prompts shown (paper: 6).")
    own_shots: int = Field(
        2, ge=0, description="Earlier new prompts shown (paper: 2), seed prompts at first."
    )
    template: Annotated[Template, fills("self-instruction", "examples", optional=["language"])] = (
        Field(
            default="self_instruct",
            validate_default=True,
            description="Prompt template, with {examples}, a numbered list of one line each, and "
            "optionally the name of the {language}.",
        )
    )
    language: str | None = Field(
        None,
        pattern=r"^(any|[a-z]{2,3}(-[A-Za-z0-9]+)*)$",
        description="Language of the prompts, such as 'ko' or 'pt-BR'; 'any' accepts all. By "
        "default that of most seed prompts.",
    )
    keep: Literal["first", "all"] = Field(
        "first", description="Which prompts of a completion are used."
    )
    max_similarity: float = Field(
        0.7, gt=0, le=1, description="Maximum ROUGE-L F1 with a seed or new prompt (paper: 0.7)."
    )
    temperature: float = Field(0.6, ge=0, description="Sampling temperature (paper: 0.6).")
    max_tokens: int = Field(256, ge=1, description="Longest completion, in tokens.")
    stop: tuple[str, ...] = Field((), description="Texts that end a completion.")
    round_size: int = Field(
        128, ge=1, description="Requests made before new prompts are shown as examples."
    )
    min_yield: float = Field(
        1.0,
        ge=0,
        le=100,
        description="Give up if the last 200 requests gave fewer new prompts per hundred.",
    )
    max_requests: int | None = Field(
        None,
        ge=1,
        description="Give up after so many requests; by default 20 per prompt, at least 200.",
    )
    strict: bool = Field(False, description="Fail if it gives up before there are 'n' prompts.")
    seed: int = Field(0, ge=0, description="Seed for choosing examples and of the requests.")

    @property
    def most_requests(self) -> int:
        """The number of requests after which it gives up."""
        return self.max_requests or max(20 * self.n, WINDOW)

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """``n`` rows, from at least as many calls."""
        return Expected(self.n, self.n)

    def limited(self, prompts: int) -> Self:
        """Want fewer prompts of the same examples: its requests are the first of the whole."""
        return self.model_copy(update={"n": min(self.n, prompts)})

    def prompt_characters(self, lengths: Mapping[str, Lengths]) -> float | None:
        """A call reads the template with its examples, taken to be as long as the seed's."""
        if "examples" not in lengths:
            return None
        shots = self.seed_shots + self.own_shots
        return len(self.template.text) + shots * lengths["examples"].prompt


def self_instruct(
    config: SelfInstruct, examples: Examples, model: Models, engine: Engine
) -> Prompts:
    """Let a model extend a list of seed prompts until there are ``n`` new ones.

    Requests go out in rounds. The examples shown in a round are drawn from the IFT examples and
    from the prompts of earlier rounds, and answers are processed in the order of the requests, so
    the result does not depend on which answer came first. White space in a shown prompt is
    collapsed, since the list has one prompt per line; seed prompts that have several turns or are
    too long are not shown, but new prompts must differ from them as well.

    A round asks for as many prompts as are missing, by the yield of the last 200 requests. It
    stops when these gave fewer than ``min_yield`` per hundred, or after ``max_requests``.

    Drops: ``error``, ``empty``, ``no_prompt`` (the model wrote something else), ``cut_off`` (the
    completion ended within the prompt), ``copied_context`` (an example that was shown; the prompt
    behind it is looked at), the reasons of ``_filters.flaw``, ``duplicate`` (of a seed or
    new prompt, letter by letter), ``not_novel`` (too like one by ROUGE-L), ``not_needed`` (``n``
    were there before). The notes have ``wanted``, ``requests``, ``seed_prompts``, ``language`` and,
    where it gave up, ``gave_up``.
    """
    drops = Drops()
    notes: dict[str, Any] = {}

    def rows() -> Iterator[dict[str, Any]]:
        pool = _Pool(config, examples)
        language = config.language or seed_language(pool.texts)
        notes.update(wanted=config.n, seed_prompts=len(pool.seed), language=language)
        progress = Progress(config, drops)
        while numbers := progress.next_round():
            report_progress(engine, len(pool.own), config.n, "new prompts")
            asked = [
                (_request(config, number, shown, language), (number, shown))
                for number in numbers
                for shown in [pool.draw(number)]
            ]
            answers = sorted(
                ask(engine, model, asked, total=len(asked)), key=lambda answer: answer[0][0]
            )
            for (number, shown), completion in answers:
                for text, fault in _read(config, completion, shown):
                    if reason := fault or flaw(text, language) or pool.refuse(text):
                        drops.add(reason, f"request {number}", text)
                        continue
                    progress.brought.append(number)
                    yield {
                        **pool.add(text),
                        "source_ids": [shot.id for shot in shown],
                        **answered(engine, completion),
                    }
            notes.update(requests=progress.requests)
            _LOG.info("%s", progress)
        if progress.missing:
            notes["gave_up"] = str(progress)
            sentence = f"self_instruct: gave up with {progress}. {_ADVICE}"
            if config.strict:
                raise DataError(sentence)
            _LOG.warning("%s", sentence)

    return Rows.stream(PROMPTS, rows(), drops=drops, notes=notes)


@dataclass(frozen=True)
class _Shot:
    """A prompt that may be shown as an example, on one line."""

    id: str
    text: str


class _Pool:
    """The seed prompts and the new ones, and the checks whether another one is taken."""

    def __init__(self, config: SelfInstruct, examples: Examples) -> None:
        self._config = config
        self._novelty = Novelty(config.max_similarity)
        self._known: set[str] = set()
        self.seed: list[_Shot] = []
        self.own: list[_Shot] = []
        self.texts: list[str] = []
        for row in examples.dicts():
            if row["kind"] == "ift" and row["prompt_id"] not in self._known:
                self._known.add(row["prompt_id"])
                text = one_line(render(row["prompt"]))
                self.texts.append(text)
                if len(row["prompt"]) == 1 and text and count_words(text) <= MOST_WORDS:
                    self.seed.append(_Shot(row["prompt_id"], text))
        self._novelty.add(self.texts)
        self.seed.sort(key=lambda shot: shot.id)  # draws must not depend on the order of rows
        wanted = config.seed_shots + config.own_shots
        if len(self.seed) < wanted:
            raise DataError(
                f"self_instruct: needs {wanted} seed prompts to show as examples, found "
                f"{len(self.seed)} IFT prompts of one turn and at most {MOST_WORDS} words. Give it "
                "more examples, or lower seed_shots and own_shots."
            )

    def draw(self, number: int) -> list[_Shot]:
        """Return a request's examples, shuffled: some new prompts, and the rest from the seed."""
        config = self._config
        chance = random.Random(request_seed(config.seed, "few-shot", number))
        own = config.own_shots if len(self.own) >= config.own_shots else 0
        shown = chance.sample(self.own, own)
        shown += chance.sample(self.seed, config.seed_shots + config.own_shots - own)
        chance.shuffle(shown)
        return shown

    def refuse(self, text: str) -> str | None:
        """Return the reason not to take a prompt that passed the filters, or None."""
        if len(self.own) == self._config.n:
            return "not_needed"
        if prompt_id(user(text)) in self._known:
            return "duplicate"
        return None if self._novelty.take(text) else "not_novel"

    def add(self, text: str) -> dict[str, Any]:
        """Add a prompt; return the columns of its row that do not come from the completion."""
        identity = prompt_id(user(text))
        self._known.add(identity)
        self.own.append(_Shot(identity, text))
        return {"prompt_id": identity, "prompt": user(text), "source": "self_instruct"}


def _request(config: SelfInstruct, number: int, shown: Sequence[_Shot], language: str) -> Request:
    listed = "\n".join(f"{place}. {shot.text}" for place, shot in enumerate(shown, start=1))
    values = {"examples": listed}
    if "language" in config.template.placeholders:
        values["language"] = name_language(language)
    return Request(
        id=str(number),
        messages=tuple(user(config.template.fill(**values))),
        sampling=config.sampling(stop=config.stop),
        seed=request_seed(config.seed, "self_instruct", number),
    )


def _read(
    config: SelfInstruct, completion: Completion, shown: Sequence[_Shot]
) -> Iterator[tuple[str, str | None]]:
    """Yield the prompts of a completion, each with a reason to drop it, or None."""
    if completion.finish_reason == "error":
        yield "", "error"
        return
    cut_off = completion.finish_reason == "length"
    prompts = list(new_prompts(completion.text, [shot.text for shot in shown]))
    if not prompts:
        nothing = "no_prompt" if completion.text.strip() else "empty"
        yield "", "cut_off" if cut_off else nothing
    for text, complete, copied in prompts:
        if copied:
            yield text, "copied_context"
            continue
        yield text, "cut_off" if cut_off and not complete else None
        if config.keep == "first":
            return
