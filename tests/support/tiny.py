"""A real but tiny model for tests: random Llama weights, its own tokenizer and chat template."""

from pathlib import Path

CHAT_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
{{- '<|' ~ message['role'] ~ '|>' }}
{%- if message['role'] == 'assistant' %}
{%- generation %}{{ message['content'] ~ eos_token }}{% endgeneration %}
{%- else %}
{{- message['content'] ~ eos_token }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""

_SPECIAL = ["<s>", "</s>", "<pad>", "<|system|>", "<|user|>", "<|assistant|>"]

_TEXT = """
Where is the red kettle kept? The red kettle is kept in the kitchen, on the upper shelf.
What colour is the lamp? Whose lamp is it? It is Ada's lamp, and it is green.
Review the user's question and the response. Explain your judgment, then end with a line
Score: 0 Score: 1 Score: 2 Score: 3 Score: 4 Score: 5 <response> </response> points of five.
Say the words in reverse order: one two three four five six seven eight nine ten.
"""


def tiny_model(
    folder: Path, *, seed: int = 0, length: int = 512, width: int = 64, layers: int = 2,
    spread: float = 0.25,
) -> Path:  # fmt: skip
    """Save a model that loads with transformers, vLLM and TRL, and give its folder back.

    The weights are random, so it answers with word salad; they are drawn wide, so that greedy
    answers are no ties and differ from prompt to prompt.

    Args:
        folder: where to save it; made if need be.
        seed: of the weights; another seed is another model.
        length: the model's longest sequence in tokens.
        width, layers: how large it is.
        spread: of its weights; a small one makes all tokens about as likely.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([_TEXT], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=length,
        initializer_range=spread,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
