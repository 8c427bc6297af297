"""What servers of this API are known to do otherwise, and whether this one does: S1 to S9.

Each is a deviation that stopped a client once; the numbers are those of the list that the project keeps of them.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

import attrs

from tinker_hl.errors import TinkerError
from tinker_hl.probing.operations import TOKENS, Probe, Tried
from tinker_hl.types import ModelInput, SampleRequest, SamplingParams

__all__ = ["Verdict", "verdicts"]

Found = Literal["as it should be", "deviates", "not told"]


@attrs.frozen(kw_only=True)
class Verdict:
    """One deviation, looked for."""

    number: str
    right: str
    """What a server should do."""
    found: Found
    detail: str = ""


async def verdicts(probe: Probe, tried: Mapping[str, Tried]) -> list[Verdict]:
    """Judge a server by what it answered, and by a few more calls in a session of their own.

    Args:
        probe: After `probe_operations`.
        tried: What that told, by operation.
    """
    found = []
    for number, (right, check) in CHECKS.items():
        try:
            problem = await check(probe, tried)
        except _NotToldError as error:
            found.append(Verdict(number=number, right=right, found="not told", detail=str(error)))
            continue
        word: Found = "deviates" if problem else "as it should be"
        found.append(Verdict(number=number, right=right, found=word, detail=problem or ""))
    return found


class _NotToldError(Exception):
    """The server did not get as far as that."""


Check = Callable[[Probe, Mapping[str, Tried]], Awaitable[str | None]]


def _result(probe: Probe, operation: str) -> dict[str, Any]:
    found = probe.answers.get(operation)
    if not isinstance(found, dict):
        raise _NotToldError(f"{operation} gave no result")
    return found


async def _sequence_ids(probe: Probe, tried: Mapping[str, Tried]) -> str | None:
    promise = probe.promises.get("sample")
    if promise is None:
        raise _NotToldError("sample promised nothing")
    ids = promise.get("sample_sequence_ids")
    return None if isinstance(ids, list) and len(ids) == 2 else f"sample_sequence_ids is {ids!r} for two samples"


async def _finish(probe: Probe, tried: Mapping[str, Tried]) -> str | None:
    return _offered(tried, "finish_session")


async def _load_form(probe: Probe, tried: Mapping[str, Tried]) -> str | None:
    if tried["save_weights"].outcome != "offered":
        raise _NotToldError("nothing was saved")
    problem = _offered(tried, "load_weights")
    wanted = f"{probe.session}:train:1"
    loaded = (probe.answers.get("load_weights") or {}).get("model_id")
    return problem or (None if loaded in (None, wanted) else f"it made {loaded}, and clients go on with {wanted}")


async def _prompt_logprobs(probe: Probe, tried: Mapping[str, Tried]) -> str | None:
    logprobs = _result(probe, "sample").get("prompt_logprobs")
    if not isinstance(logprobs, list):
        return "it gives none although they were asked for"
    if len(logprobs) != len(TOKENS):
        return f"{len(logprobs)} for {len(TOKENS)} tokens"
    return None if logprobs[0] is None else "the first one is not null"


async def _loss_sum(probe: Probe, tried: Mapping[str, Tried]) -> str | None:
    metrics = _result(probe, "forward_backward").get("metrics") or {}
    return None if "loss:sum" in metrics else f"the metrics are {', '.join(metrics) or 'empty'}"


async def _topk(probe: Probe, tried: Mapping[str, Tried]) -> str | None:
    prompt, params = ModelInput.from_ints(TOKENS), SamplingParams(max_tokens=1)
    asked = SampleRequest(prompt=prompt, sampling_params=params, base_model=probe.model, topk_prompt_logprobs=2)
    try:
        answer = await probe.promised("sample", asked.wire_dict())
    except TinkerError as error:
        return error.message or str(error)
    return None if answer.get("topk_prompt_logprobs") else "it gives none although they were asked for"


async def _losses(probe: Probe, tried: Mapping[str, Tried]) -> str | None:
    if not probe.losses:
        raise _NotToldError("there was no model to try them with")
    return "; ".join(f"{loss}: {why}" for loss, why in probe.losses.items() if why) or None


async def _dynamic_config(probe: Probe, tried: Mapping[str, Tried]) -> str | None:
    # Clients take its absence for the defaults.
    missing = tried["get_client_dynamic_config"].outcome == "missing"
    return None if missing else _offered(tried, "get_client_dynamic_config")


async def _names(probe: Probe, tried: Mapping[str, Tried]) -> str | None:
    supported = _result(probe, "get_server_capabilities").get("supported_models") or []
    names = [model.get("model_name") for model in supported if isinstance(model, dict)]
    return (
        None if probe.model in names else f"it lists {', '.join(map(str, names))}, and {probe.model} is not among them"
    )


def _offered(tried: Mapping[str, Tried], operation: str) -> str | None:
    found = tried[operation]
    if found.outcome == "not tried":
        raise _NotToldError(found.detail)
    return None if found.outcome == "offered" else found.detail


CHECKS: Final[dict[str, tuple[str, Check]]] = {
    "S1": ("the promise of a sample names an id for each sequence", _sequence_ids),
    "S2": ("a session can be finished", _finish),
    "S3": ("load_weights makes a model from a session and a number, under the id that clients foresee", _load_form),
    "S4": ("a prompt has a logprob for each token, the first one null", _prompt_logprobs),
    "S5": ("a pass reports loss:sum", _loss_sum),
    "S6": ("the likeliest tokens of a prompt are given (topk_prompt_logprobs)", _topk),
    "S7": ("importance_sampling, ppo, cispo, dro and gspo are known", _losses),
    "S8": ("client/dynamic_config is there, or its absence is a 404", _dynamic_config),
    "S9": ("the base model answers to the name that it is listed under", _names),
}
