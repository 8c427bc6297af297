"""The researcher's script through a network that fails: each client sees what it sees without the faults.

The faults are those that the official SDK gets over by retries of its own, so what is tested of it is our service: that
a repeated request is the same request.
"""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from script_runs import run_script

from tinker_hl.testing import FaultPlan, FaultProxy
from tinker_local.embedded import EmbeddedService

pytestmark = [pytest.mark.interop, pytest.mark.timeout(1200)]

PLAN = FaultPlan.random(
    11,
    rate=0.12,
    kinds=(
        "429",
        "429_retry_after",
        "503",
        "503_after_commit",
        "cut_before_send",
        "cut_after_commit",
        "cut_during_response",
        "delay",
        "duplicate",
    ),
    at=("[!r]*",),
    # The pauses of the official SDK are real.
    limit=20,
) | FaultPlan.random(
    12,
    rate=0.08,
    # 0.7.0 gives a result up for lost when a poll is answered with 429, and newer releases pause for long.
    kinds=("503", "503_after_commit", "cut_during_response", "delay", "duplicate"),
    at=("retrieve_*",),
    limit=10,
)
SAME = ("models", "round_trip", "losses", "went_on", "resumed", "resumed_rank", "weights_only", "rl", "custom")
SAME_TOO = ("weights_before", "named_logprobs", "unnamed_logprobs", "snapshot_logprobs", "base_logprobs", "async")


@attrs.frozen
class Reached:
    """The service behind the proxy."""

    base_url: str
    api_key: str


@pytest.fixture(scope="module", params=["0.7.0", "newest", "ours"])
def both(
    request: pytest.FixtureRequest, ran: Callable[[str], dict[str, Any]], service: EmbeddedService
) -> tuple[dict[str, Any], dict[str, Any], FaultProxy]:
    """What a client saw without faults and with them, and the proxy that made them."""
    plain = ran(request.param)
    with FaultProxy(service.base_url, PLAN) as proxy:
        faulty = run_script(request.param, Reached(proxy.base_url, service.api_key))
    return plain, faulty, proxy


Both = tuple[dict[str, Any], dict[str, Any], FaultProxy]


def test_there_were_faults_of_many_kinds(both: Both) -> None:
    _, _, proxy = both
    kinds = {call.fault.kind for call in proxy.faults if call.fault is not None}
    print(f"{len(proxy.faults)} faults in {len(proxy.calls)} requests")
    assert len(proxy.faults) >= 20
    assert kinds >= {"429", "503", "cut_after_commit", "cut_during_response", "delay", "duplicate"}
    assert {call.endpoint for call in proxy.faults} >= {"forward_backward", "optim_step", "asample"}


def test_training_is_what_it_is_without_faults(both: Both) -> None:
    plain, faulty, _ = both
    for name in (*SAME, *SAME_TOO):
        assert faulty[name] == plain[name], name


def test_samples_are_what_they_are_without_faults(both: Both) -> None:
    plain, faulty, _ = both
    # Who shares a batch with whom differs, and with it the last bits of logprobs.
    assert steady(faulty["sampling"]) == rounded(steady(plain["sampling"]))


def test_refusals_and_records_are_what_they_are_without_faults(both: Both) -> None:
    plain, faulty, _ = both
    assert faulty["refused"]["type"] == plain["refused"]["type"]
    assert faulty["refused"]["loss_after"] == plain["refused"]["loss_after"]
    kept = [[kind for _, kind, _, _ in seen["records"]["checkpoints"]] for seen in (faulty, plain)]
    assert kept[0] == kept[1]
    assert faulty["records"]["left"] == [faulty["state"]]


def steady(sampling: dict[str, Any]) -> dict[str, Any]:
    """Samples without the ids that the service gave them, and without alternatives, which are drawn without a seed."""
    drawn = ("sequence_ids", "alt_logprobs")
    return {**sampling, "new": {name: value for name, value in sampling.get("new", {}).items() if name not in drawn}}


def rounded(value: Any) -> Any:
    """The same with each number near another one for `==`."""
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-3, abs=1e-3)
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return value
