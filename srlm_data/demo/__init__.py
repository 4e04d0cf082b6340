"""Floor 4. An embedded world whose truth is known, so that the whole loop runs on a laptop.

The world is only the seed of some recipes: no step, engine or store knows that it exists.
"""

from srlm_data.demo.facts import WORLD_SEED
from srlm_data.demo.oracle import Oracle
from srlm_data.demo.trees import dialogues, held_out_prompts, trees

__all__ = ["WORLD_SEED", "Oracle", "dialogues", "held_out_prompts", "trees"]
