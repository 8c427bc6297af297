"""Whether a request for samples makes sense for a model, told before anything is computed.

It knows the model's numbers and its cache's, nothing of the batch.
"""

import math

from tinker_local.engine.base_model import BaseModel
from tinker_local.engine.cache_room import excess_of_cache
from tinker_local.engine.protocol import SampleJob, UserFaultError
from tinker_local.engine.vision import check_images

__all__ = ["check_job"]


def check_job(job: SampleJob, base: BaseModel) -> None:
    """Refuse a request that cannot be sampled.

    Raises:
        UserFaultError: naming the field and the limit.
    """
    context, vocabulary = base.info.max_context_length, base.info.vocabulary_size
    if job.prompt.ndim != 1 or not job.prompt.size:
        raise UserFaultError("prompt is empty; give at least one token")
    if job.prompt.size > context:
        raise UserFaultError(f"prompt has {job.prompt.size} tokens, the context of this model is {context}")
    outside = (job.prompt < 0) | (job.prompt >= vocabulary)
    if outside.any():
        place = int(outside.argmax())
        raise UserFaultError(
            f"prompt[{place}] is {job.prompt[place]}; token ids of this model are 0 to {vocabulary - 1}"
        )
    check_images(base.images, job.images)
    _check_numbers(job)
    _check_targets(job, vocabulary)
    excess = excess_of_cache(job, base.info)
    if excess is not None:
        raise UserFaultError(excess.message)


def _check_numbers(job: SampleJob) -> None:
    if job.num_samples < 1:
        raise UserFaultError(f"num_samples is {job.num_samples}; it must be at least 1")
    if job.max_tokens is not None and job.max_tokens < 0:
        raise UserFaultError(f"max_tokens is {job.max_tokens}; it must be 0 or more")
    if not (isinstance(job.temperature, int | float) and math.isfinite(job.temperature) and job.temperature >= 0):
        raise UserFaultError(f"temperature is {job.temperature}; it must be a finite number, 0 or more")
    if not (isinstance(job.top_p, int | float) and 0 < job.top_p <= 1):
        raise UserFaultError(f"top_p is {job.top_p}; it must be above 0 and at most 1")
    if job.top_k < -1:
        raise UserFaultError(f"top_k is {job.top_k}; it must be positive, or -1 for no limit")


def _check_targets(job: SampleJob, vocabulary: int) -> None:
    targets = job.target_prompt_tokens
    if targets is None:
        return
    if targets.ndim != 2 or targets.shape[0] != job.prompt.size - 1 or targets.shape[1] < 1:
        raise UserFaultError(
            f"target_prompt_logprobs has shape {list(targets.shape)}; for this prompt it must be "
            f"[{job.prompt.size - 1}, K] with K at least 1"
        )
    if ((targets < -1) | (targets >= vocabulary)).any():
        raise UserFaultError(f"target_prompt_logprobs asks for token ids outside 0 to {vocabulary - 1} (-1 is none)")
