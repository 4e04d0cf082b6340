"""Instructions made into others, and what of a completion is taken."""

from builders import models, prompts
from fakes import FakeEngine
from srlm_data.core import ids
from srlm_data.core.messages import user
from srlm_data.engines.protocol import Completion
from srlm_data.variants.self_taught import RewritePrompts, rewrite_prompts

MODEL = models()


def modified(replies):
    """The modified prompts of ``{prompt: completion}``."""

    def reply(request):
        [text] = [text for text in replies if f"\n{text}\n" in request.messages[0]["content"]]
        given = replies[text]
        return given if isinstance(given, str) else Completion(request, *given)

    return rewrite_prompts(RewritePrompts(), prompts(*replies), MODEL, FakeEngine(reply))


def test_the_first_line_is_taken_without_its_list_mark_and_names_its_origin():
    rows = modified({"bake bread": "2. Bake a cake.\n3. Boil an egg."})
    [row] = rows.dicts()
    assert row["prompt"] == user("Bake a cake.")
    assert row["source_ids"] == [ids.prompt_id(user("bake bread"))]
    assert (row["source"], row["model"]) == ("modified", "fake")


def test_every_prompt_is_modified_or_counted():
    rows = modified({
        "one": "Another one.", "two": "Another one.", "three": "three", "four": " ",
        "five": ("", "error", 0, 0), "six": ("A text that was", "length", 5, 4),
    })  # fmt: skip
    assert rows.table().num_rows == 1
    assert rows.drops == {"duplicate": 1, "unchanged": 1, "empty": 1, "error": 1, "cut_off": 1}
