"""What a model adds to a list of prompts, and what is wrong with a prompt by itself."""

import pytest

from srlm_data.steps._prompt_lists import flaw, new_prompts


@pytest.mark.parametrize(
    "text",
    [
        "What is green tea?",
        "word " * 149 + "end",
        "Explain mapping and imagery to me",
        "Go tomorrow or stay?",
    ],
)
def test_what_is_just_within_the_filters_passes(text):
    assert flaw(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("9. Why is tea hot?", [("Why is tea hot?", False)]),
        ("Why is tea hot?", [("Why is tea hot?", False)]),
        ("\n\n 9)  Why is\ttea hot?\n", [("Why is tea hot?", True)]),
        ("9. Why?\nBecause.\n1. Heat\n2. Fire", [("Why?", True)]),
        ("9. Why?\n\n10. How?\n11. When", [("Why?", True), ("How?", True), ("When", False)]),
        ("9. Why? 10. How?", [("Why?", True)]),
        ("Why? 10. How?", [("Why?", True)]),
        ("9. In 1999. 12. or so, why?", [("In 1999. 12. or so, why?", False)]),
        ("9. Why? Answer: because", [("Why?", True)]),
        ("Sure, here is one:\n9. Why?", [("Why?", False)]),
        ("Why?\n1. Heat\n2. Fire", [("Why?", True)]),
        ("3.5 or 4?", [("3.5 or 4?", False)]),
        ("1. Why?\n2. How?", [("Why?", True), ("How?", False)]),
        ("9.", []),
        ("", []),
    ],
)
def test_new_prompts_are_read_line_by_line_and_cut_where_the_model_goes_on(text, found):
    assert new_prompts(text, after=8) == found
