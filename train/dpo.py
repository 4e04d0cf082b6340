"""Direct preference optimisation with TRL's DPOTrainer.

    python train/dpo.py job.yaml
    accelerate launch --config_file train/configs/deepspeed.yaml train/dpo.py job.yaml

Rows are ``prompt``, ``chosen`` and ``rejected``, all conversations. The reference model is always
named and always loaded on its own: an adapter that is switched off would give the reference's
log-probabilities with dropout still on.
"""

from __future__ import annotations

from job import Job
from run import run
from transformers import AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer

from srlm_data.models.training import Dpo


def trainer(job: Job[Dpo]) -> DPOTrainer:
    """A trainer over the job's pairs; pairs that ``max_length`` makes equal are dropped."""
    losses = job.settings.losses
    return DPOTrainer(
        model=str(job.model),
        ref_model=AutoModelForCausalLM.from_pretrained(
            job.reference, dtype=job.settings.dtype, use_safetensors=True
        ),
        args=DPOConfig(
            beta=job.settings.beta,
            loss_type=list(losses),
            loss_weights=list(losses.values()),
            **job.arguments(),
        ),
        train_dataset=job.rows("chosen", "rejected"),
        eval_dataset=job.validation_rows("chosen", "rejected"),
        processing_class=job.tokenizer,
        peft_config=job.lora(),
    )


if __name__ == "__main__":
    run(Dpo, trainer)
