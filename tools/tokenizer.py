"""M0's tokenizer: byte-level BPE, so any text round-trips; every word of the world is one token."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tools import corpus

SPECIAL_TOKENS: Final = ("<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>")
VOCABULARY_SIZE: Final = 2048
MAX_LENGTH: Final = 1024

# Content stands on a line of its own after its role. So a reply begins with the same tokens here
# and in a judge prompt, and no engine has to decide whether a leading space belongs to it.
CHAT_TEMPLATE: Final = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ '<|assistant|>\\n' }}"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% else %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] + '\\n' }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


def _texts(seed: int) -> Iterator[str]:
    rng = random.Random(f"tokenizer:{seed}")
    yield from corpus.every_word()
    for _ in range(4000):
        for example in corpus.one_of_each(rng, noise=0.0):
            for turn in example.turns:
                yield turn.user
                yield turn.text


def build_tokenizer(seed: int = 0) -> Any:
    """Train the tokenizer on the world's corpus and give it its chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        _texts(seed),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY_SIZE,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=list(SPECIAL_TOKENS[3:]),
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and the chat template."""
    tokenizer.save_pretrained(str(folder))
