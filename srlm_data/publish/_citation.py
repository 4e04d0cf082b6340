"""Write the citation of a published dataset: the paper of its method, and the dataset itself."""

from __future__ import annotations

import re
from typing import Final

from srlm_data.publish._bundle import Bundle

PAPER: Final = """\
@inproceedings{yuan2024selfrewarding,
  title         = {Self-Rewarding Language Models},
  author        = {Yuan, Weizhe and Pang, Richard Yuanzhe and Cho, Kyunghyun and Li, Xian and
                   Sukhbaatar, Sainbayar and Xu, Jing and Weston, Jason},
  booktitle     = {International Conference on Machine Learning},
  year          = {2024},
  eprint        = {2401.10020},
  archiveprefix = {arXiv}
}"""


def bibtex(bundle: Bundle, repo: str, tag: str) -> str:
    """Return the paper and the dataset as BibTeX, with the year of the newest version."""
    times = [str(part.manifest.provenance.get("at", "")) for part in bundle.parts]
    year = max(times)[:4]
    fields = {
        "title": f"{bundle.title}: preference data of a self-rewarding language model",
        "author": repo.partition("/")[0],
        **({"year": year} if year else {}),
        "publisher": "Hugging Face",
        "version": tag,
    }
    lines = [f"  {name:<9} = {{{{{_escape(value)}}}}}," for name, value in fields.items()]
    url = f"  {'url':<9} = {{https://huggingface.co/datasets/{repo}}}"
    key = re.sub(r"\W+", "_", repo)
    return "\n".join([PAPER, "", f"@misc{{{key},", *lines, url, "}"])


def _escape(value: str) -> str:
    """Return a text with the characters escaped that BibTeX or LaTeX would interpret."""
    return re.sub(r"([&%$#_])", r"\\\1", re.sub(r"[\\{}]", "", value))
