"""The echo pipeline in distilabel 1.5.3: the same prompts, four answers, three judgments each.

    python -m venv distilabel && distilabel/bin/pip install distilabel==1.5.3 requests
    PYTHONPATH=benchmarks/echo distilabel/bin/python benchmarks/peers/distilabel_echo.py FOLDER 1000

Two tasks with a language model that answers at once, the score read by the task's own
``format_output``, the default batch size (50) for steps. Pairs are not made: they would only add
to its time.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import echo_text
from distilabel.models.llms.base import LLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration

SCORE = re.compile(r"^Score:\s*(\d)", re.MULTILINE)


class Echo(LLM):
    """Answers at once."""

    judging: bool = False

    def load(self) -> None:
        """Load nothing."""
        super().load()

    @property
    def model_name(self) -> str:
        """The model's name."""
        return "echo"

    def generate(self, inputs: list[Any], num_generations: int = 1) -> list[Any]:
        """One text a generation."""
        text = echo_text.judgment if self.judging else echo_text.answer
        return [
            {
                "generations": [text(number * 7 + n) for n in range(num_generations)],
                "statistics": {
                    "input_tokens": [40] * num_generations,
                    "output_tokens": [60] * num_generations,
                },
            }
            for number in range(len(inputs))
        ]


class Judge(TextGeneration):
    """Reads the score of a judgment."""

    @property
    def outputs(self) -> list[str]:
        """The columns that it adds."""
        return ["judgment", "score", "model_name"]

    def format_output(self, output: str | None, input: Any = None) -> dict[str, Any]:
        """The text and its score."""
        found = SCORE.search(output or "")
        return {"judgment": output, "score": float(found[1]) if found else None}


def main(folder: Path, count: int) -> None:
    """Run it without its cache, and write what comes out."""
    template = Path(__file__).resolve().parents[2] / "srlm_data/core/templates/judge.txt"
    judge = template.read_text().replace("{prompt}", "{{ instruction }}")
    judge = judge.replace("{response}", "{{ generation }}")
    with Pipeline(name="echo", cache_dir=str(folder / "cache")) as pipeline:
        load = LoadDataFromDicts(
            data=[{"instruction": echo_text.prompt(number)} for number in range(count)]
        )
        answer = TextGeneration(
            name="answer", llm=Echo(), num_generations=4, group_generations=False,
            add_raw_input=False, add_raw_output=False,
        )  # fmt: skip
        score = Judge(
            name="judge", llm=Echo(judging=True), num_generations=3, group_generations=False,
            template=judge, columns=["instruction", "generation"],
            add_raw_input=False, add_raw_output=False,
        )  # fmt: skip
        load >> answer >> score
    made = pipeline.run(use_cache=False)
    rows = made["default"]["train"]
    rows.to_parquet(folder / "judgments.parquet")
    print(rows.num_rows, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
