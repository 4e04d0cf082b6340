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
    return SFTTrainer(
        model=str(job.model),
        args=SFTConfig(
            completion_only_loss=True,
            **arguments,
        ),
        train_dataset=job.rows("completion"),
        eval_dataset=job.validation_rows("completion"),
        processing_class=job.tokenizer,
        peft_config=job.lora(),
    )


if __name__ == "__main__":
    run(Sft, trainer)
