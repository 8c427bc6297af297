"""The official SDK, unmodified, its newest release and 0.7.0, does a researcher's work against our service.

So does our own client, under the official name: the same script, the same expectations.
"""

import json
import urllib.error
import urllib.request
from itertools import pairwise
from typing import Any

import pytest

from tinker_local.embedded import EmbeddedService

# The first test of a release waits for the whole run, and, on a fresh clone, for the SDK's installation.
pytestmark = [pytest.mark.interop, pytest.mark.timeout(1200)]

MODEL = "tinker-hl/tiny"


def is_newer(seen: dict[str, Any]) -> bool:
    return bool(seen["asked"] != "0.7.0")


def grad_norm(metrics: dict[str, float]) -> float:
    (value,) = (value for name, value in metrics.items() if "grad_norm" in name)
    return value


def test_it_is_the_release_that_was_asked_for(seen: dict[str, Any]) -> None:
    assert (
        seen["version"] == "0.7.0"
        if seen["asked"] == "0.7.0"
        else tuple(map(int, seen["version"].split("."))) >= (0, 38)
    )


def test_the_service_names_its_models(seen: dict[str, Any]) -> None:
    assert seen["models"] == [MODEL]


def test_a_new_model_tells_what_it_is(seen: dict[str, Any]) -> None:
    info = seen["info"]
    assert info["model_data"]["model_name"] == MODEL
    assert (info["is_lora"], info["lora_rank"]) == (True, 8)


def test_the_tokenizer_loads_from_the_folder_that_the_service_names(seen: dict[str, Any]) -> None:
    assert seen["round_trip"] == "Hello, wörld"


def test_the_loss_falls(seen: dict[str, Any]) -> None:
    assert len(seen["losses"]) == 12
    assert seen["losses"][-1] < 0.7 * seen["losses"][0]


def test_a_run_resumed_with_its_optimizer_goes_on_as_if_never_interrupted(seen: dict[str, Any]) -> None:
    assert seen["resumed"] == seen["went_on"]
    assert seen["resumed_rank"] == 8


def test_a_run_resumed_without_its_optimizer_starts_alike_and_then_differs(seen: dict[str, Any]) -> None:
    assert seen["weights_only"][0] == seen["went_on"][0]
    assert seen["weights_only"][1:] != seen["went_on"][1:]


@pytest.mark.parametrize(
    ("loss", "per_token", "per_logprob"),
    [
        ("importance_sampling 0.0", -1.0, 0.0),
        ("ppo 0.0", -1.0, 0.0),
        ("cispo 0.0", 0.0, -1.0),
        ("dro 0.0", 0.0, -1.0),
        ("importance_sampling 0.5", -1.6487213, 0.0),
        ("ppo 0.5", -1.1, 0.0),
        ("cispo 0.5", 0.0, -1.1),
        ("dro 0.5", 0.5 * 0.05 * 0.25, -1.0),
    ],
)
def test_each_loss_is_the_sum_that_its_formula_gives(
    seen: dict[str, Any], loss: str, per_token: float, per_logprob: float
) -> None:
    """All advantages are 1, the new logprobs are the old ones or 0.5 above them, and the ratio is clipped at 1.1."""
    logprobs = [value for row in seen["rl"]["logprobs"] for value in row]
    expected = per_token * len(logprobs) + per_logprob * sum(logprobs)
    assert seen["rl"][loss] == pytest.approx(expected, rel=1e-4)


def test_a_custom_loss_that_is_cross_entropy_has_the_gradient_of_cross_entropy(seen: dict[str, Any]) -> None:
    custom = seen["custom"]
    assert custom["custom"]["loss:sum"] == pytest.approx(custom["plain"], rel=1e-5)
    assert custom["custom"]["words"] == 8
    assert grad_norm(custom["custom_step"]) == pytest.approx(grad_norm(custom["plain_step"]), rel=1e-4)
    assert grad_norm(custom["custom_step"]) > 0


def test_samplers_score_what_the_trained_model_scores(seen: dict[str, Any]) -> None:
    trained = seen["weights_before"]
    for name in ("named_logprobs", "unnamed_logprobs"):
        assert seen[name][0] is None
        # A prompt's last target is beyond the prompt.
        assert seen[name][1:] == pytest.approx(trained[:-1], abs=1e-4)


def test_a_snapshot_stays_what_it_was_when_training_goes_on(seen: dict[str, Any]) -> None:
    assert seen["snapshot_logprobs"] == seen["named_logprobs"]
    assert seen["base_logprobs"][1:] != pytest.approx(seen["named_logprobs"][1:], abs=1e-2)


def test_the_same_seed_gives_the_same_samples_and_one_request_different_ones(seen: dict[str, Any]) -> None:
    sampling = seen["sampling"]
    assert sampling["several"] == sampling["again"]
    assert len({tuple(sample["tokens"]) for sample in sampling["several"]}) > 1
    assert all(len(sample["tokens"]) == len(sample["logprobs"]) for sample in sampling["several"])


def test_what_stops_a_sample_is_told_and_kept(seen: dict[str, Any]) -> None:
    sampling = seen["sampling"]
    greedy = sampling["greedy"]["tokens"]
    cut = greedy[: greedy.index(sampling["stop_token"]) + 1]
    for stopped in sampling["stopped"].values():
        assert (stopped["tokens"], stopped["stop_reason"]) == (cut, "stop")


def test_prompts_are_scored(seen: dict[str, Any]) -> None:
    sampling = seen["sampling"]
    length = len(sampling["prompt"])
    assert len(sampling["prompt_logprobs"]) == length
    assert sampling["prompt_logprobs"][0] is None
    assert sampling["compute_logprobs"][1:] == pytest.approx(sampling["prompt_logprobs"][1:], abs=1e-5)
    rows = sampling["topk_prompt_logprobs"]
    assert rows[0] is None
    for position, row in enumerate(rows[1:], start=1):
        assert len(row) == 4
        assert all(left[1] >= right[1] for left, right in pairwise(row))
        likely = dict(map(tuple, row))
        scored = sampling["prompt_logprobs"][position]
        assert scored <= row[-1][1] + 1e-5 or likely[sampling["prompt"][position]] == pytest.approx(scored, abs=1e-5)


def test_samples_taken_together_are_the_samples_taken_alone(seen: dict[str, Any]) -> None:
    assert seen["sampling"]["at_once"] == [seen["sampling"]["greedy"]["tokens"]] * 32
    assert len({tuple(tokens) for tokens in seen["async"]["samples"]}) == 1


def test_newer_releases_get_what_only_they_can_ask(seen: dict[str, Any]) -> None:
    assert ("new" in seen["sampling"]) is is_newer(seen)
    if not is_newer(seen):
        return
    new, length = seen["sampling"]["new"], len(seen["sampling"]["prompt"])
    assert new["lengths"] == [5, 5], "stop=[] disables every stop"
    for tokens, rows in zip(new["tokens"], new["topk"], strict=True):
        assert [row[0][0] for row in rows] == tokens, "greedy takes the likeliest"
        assert all(len(row) == 3 for row in rows)
    asked, nothing = zip(*new["target_prompt_logprobs"], strict=True)
    assert asked == pytest.approx(new["prompt_logprobs"][1:], abs=1e-4)
    assert set(nothing) == {0.0}
    assert new["alt_tokens_shape"] == [length - 1, 2]
    assert all(value <= 0 for row in new["alt_logprobs"] for value in row)
    assert len(set(new["sequence_ids"])) == 2
    assert [value is None for value in new["last_two"]] == [True] * (length - 2) + [False] * 2
    assert (new["handle"], new["base_model"]) == ("SamplingClient", MODEL)


def test_async_calls_do_the_same(seen: dict[str, Any]) -> None:
    assert seen["async"]["loss"] < seen["losses"][-1]
    assert grad_norm(seen["async"]["metrics"]) > 0


def test_bad_data_is_refused_with_its_place_and_the_run_goes_on(seen: dict[str, Any]) -> None:
    refused = seen["refused"]
    assert refused["type"] is not None
    assert "10000000" in refused["text"]
    assert refused["loss_after"] == pytest.approx(seen["async"]["loss"], rel=1e-6)


def test_runs_and_checkpoints_are_listed(seen: dict[str, Any]) -> None:
    records = seen["records"]
    run = records["run"]
    assert run["training_run_id"] in records["runs"]
    assert (run["base_model"], run["is_lora"], run["lora_rank"]) == (MODEL, True, 8)
    assert run["user_metadata"] == {"purpose": "interop"}
    assert {(id_, kind) for id_, kind, _, _ in records["checkpoints"]} == {
        ("weights/halfway", "training"),
        ("sampler_weights/final", "sampler"),
    }
    assert all(size > 1000 for *_, size in records["checkpoints"])
    assert {seen["state"], seen["sampler_path"]} <= set(records["all_checkpoints"])
    assert records["published"] is True
    assert (records["weights_info"]["base_model"], records["weights_info"]["lora_rank"]) == (MODEL, 8)
    assert records["session"] in records["sessions"]
    assert run["training_run_id"] in records["session_runs"]
    assert records["by_path"] == run["training_run_id"]
    assert records["left"] == [seen["state"]], "the sampler's checkpoint was deleted"


def test_each_release_gets_its_own_way_to_lifetimes_and_files(seen: dict[str, Any]) -> None:
    records = seen["records"]
    if is_newer(seen):
        assert records["expires"] is True
        assert records["sampler"] == MODEL
    else:
        assert {"adapter_config.json", "adapter_model.safetensors"} <= set(records["archive"])


def test_a_finished_session_is_over(seen: dict[str, Any], service: EmbeddedService) -> None:
    """Newer releases tell that they are done; older ones are only missed."""
    request = urllib.request.Request(
        f"{service.base_url}/api/v1/session_heartbeat",
        data=json.dumps({"session_id": seen["records"]["session"]}).encode(),
        headers={"X-API-Key": service.api_key, "Content-Type": "application/json"},
    )
    if is_newer(seen):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        refused.value.close()
        assert refused.value.code == 410
    else:
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
