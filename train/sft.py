"""Supervised fine-tuning with TRL's SFTTrainer.

    python train/sft.py job.yaml
    accelerate launch --config_file train/configs/fsdp.yaml train/sft.py job.yaml

Rows are ``prompt`` and ``completion``, both conversations; the loss is on the completion only.
"""

from __future__ import annotations

from job import Job
from run import run
from trl import SFTConfig, SFTTrainer

from srlm_data.models.training import Sft


def trainer(job: Job[Sft]) -> SFTTrainer:
    """A trainer over the job's examples; ones whose prompt fills ``max_length`` are dropped."""
    arguments = job.arguments()
    del arguments["disable_dropout"]  # the SFTTrainer leaves dropout alone
    network = job.network() if job.new_tokens else None
    if network:
        del arguments["model_init_kwargs"]
    return SFTTrainer(
        model=network or str(job.model),
        args=SFTConfig(completion_only_loss=True, **arguments),
        train_dataset=job.rows("completion"),
        eval_dataset=job.validation_rows("completion"),
        processing_class=job.tokenizer,
        peft_config=job.lora(network),
    )


if __name__ == "__main__":
    run(Sft, trainer)
