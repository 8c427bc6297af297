"""The whole service with the real engine, over HTTP: what is trained is what is sampled, saved, and loaded."""

import io
import json
import os
import signal
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from service_bench import TINY, Api, sample_body

from tinker_local.engine.process import ProcessEngine

TEXT = list(b"hello world")


@pytest.fixture
def model(real: Api) -> Callable[..., str]:
    """Makes models of one session, seeded."""
    session_id = real.session()
    numbers = iter(range(100))

    def make(**lora: Any) -> str:
        config = {"rank": 8, "seed": 1, **lora}
        body = {"session_id": session_id, "model_seq_id": next(numbers), "base_model": TINY.name}
        return str(real.result(real.ok("create_model", body={**body, "lora_config": config}))["model_id"])

    return make


def passed(model_id: str, seq_id: int, weights: list[float] | None = None, copies: int = 1) -> dict[str, Any]:
    tokens, targets = TEXT[:-1], TEXT[1:]
    inputs = {"target_tokens": {"data": targets, "dtype": "int64"}}
    if weights is not None:
        inputs["weights"] = {"data": weights, "dtype": "float32"}
    datum = {"model_input": {"chunks": [{"tokens": tokens}]}, "loss_fn_inputs": inputs}
    data = {"data": [datum] * copies, "loss_fn": "cross_entropy"}
    return {"model_id": model_id, "seq_id": seq_id, "forward_backward_input": data}


def loss(api: Api, body: dict[str, Any]) -> float:
    return float(api.result(api.ok("forward_backward", body=body))["metrics"]["loss:sum"])


def step(api: Api, model_id: str, seq_id: int, **params: float) -> dict[str, float]:
    body = {"model_id": model_id, "seq_id": seq_id, "adam_params": {"learning_rate": 0.01, **params}}
    return dict(api.result(api.ok("optim_step", body=body))["metrics"])


def trained(api: Api, model_id: str, steps: int, first: int = 1) -> list[float]:
    return [
        (loss(api, passed(model_id, seq_id)), step(api, model_id, seq_id + 1))[0]
        for seq_id in range(first, first + 2 * steps, 2)
    ]


def scores(api: Api, sampler_id: str, seq_id: int) -> list[float]:
    body = sample_body(sampler_id, seq_id, prompt={"chunks": [{"tokens": TEXT}]}, prompt_logprobs=True)
    values = api.result(api.ok("sample", body=body))["prompt_logprobs"]
    assert len(values) == len(TEXT)
    assert values[0] is None
    return list(values[1:])


def sampler_now(api: Api, model_id: str, seq_id: int, number: int) -> str:
    body = {"model_id": model_id, "seq_id": seq_id, "sampling_session_seq_id": number}
    return str(api.result(api.ok("save_weights_for_sampler", body=body))["sampling_session_id"])


def test_a_model_learns_and_what_is_sampled_is_what_was_trained(real: Api, model: Callable[..., str]) -> None:
    model_id = model()
    losses = trained(real, model_id, 8)
    assert losses[-1] < 0.5 * losses[0]
    sampler_id = sampler_now(real, model_id, 17, 0)
    assert sum(scores(real, sampler_id, 0)) == pytest.approx(-loss(real, passed(model_id, 18)), abs=1e-3)


def test_peer_fault_01_losses_are_sums(real: Api, model: Callable[..., str]) -> None:
    model_id = model()
    ones = [1.0] * (len(TEXT) - 1)
    norms, losses = [], []
    for seq_id, (weights, copies) in enumerate([(ones, 1), ([2.0] * len(ones), 1), (ones, 2), ([-1.0] * len(ones), 1)]):
        losses.append(loss(real, passed(model_id, 2 * seq_id + 1, weights, copies)))
        norms.append(step(real, model_id, 2 * seq_id + 2, learning_rate=0.0)["grad_norm"])
    assert losses[1:] == pytest.approx([2 * losses[0], 2 * losses[0], -losses[0]], rel=1e-5)
    assert norms[1:] == pytest.approx([2 * norms[0], 2 * norms[0], norms[0]], rel=1e-4)


def test_peer_fault_02_sampling_leaves_the_training_weights_alone(real: Api, model: Callable[..., str]) -> None:
    model_id, twin = model(), model()
    trained(real, model_id, 2)
    trained(real, twin, 2)
    sampler_id = sampler_now(real, model_id, 5, 1)
    scores(real, sampler_id, 0)
    real.result(real.sample(sampler_id, 1))
    assert trained(real, model_id, 2, first=6) == trained(real, twin, 2, first=5)


def test_peer_fault_03_an_old_snapshot_keeps_its_weights(real: Api, model: Callable[..., str]) -> None:
    model_id = model()
    trained(real, model_id, 1)
    sampler_id = sampler_now(real, model_id, 3, 2)
    before = scores(real, sampler_id, 0)
    trained(real, model_id, 3, first=4)
    assert scores(real, sampler_id, 1) == before
    assert scores(real, sampler_now(real, model_id, 10, 3), 0) != before


def test_peer_fault_05_what_is_not_trained_is_not_in_the_checkpoint(real: Api, model: Callable[..., str]) -> None:
    model_id = model(train_mlp=False, train_unembed=False)
    path = real.save(model_id, 1, "attention")
    info = real.ok("get_weights_info", body={"tinker_path": path})
    assert (info["train_attn"], info["train_mlp"], info["train_unembed"]) == (True, False, False)
    folder = real.service.settings.data_dir / "checkpoints" / model_id / "weights" / "attention"
    config = json.loads((folder / "adapter_config.json").read_text())
    assert set(config["target_modules"]) == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert (config["r"], config["lora_alpha"]) == (8, 32)


def test_r08_resuming_is_the_same_as_going_on(real: Api, model: Callable[..., str]) -> None:
    """R8: bit-equal with the optimizer's state, different without."""
    model_id = model()
    session_id = model_id.partition(":")[0]
    trained(real, model_id, 3)
    path = real.save(model_id, 7, "middle")
    going_on = trained(real, model_id, 3, first=8)
    resumed = []
    for number, optimizer in ((50, True), (51, False)):
        body = {"session_id": session_id, "model_seq_id": number, "path": path, "optimizer": optimizer}
        again = real.result(real.ok("load_weights", body=body))["model_id"]
        resumed.append(trained(real, again, 3))
    assert resumed[0] == going_on
    assert resumed[1][0] == going_on[0]
    assert resumed[1] != going_on


def test_bad_input_harms_nobody(real: Api, model: Callable[..., str]) -> None:
    """R12: refused by name, and the next valid step is bit-equal to a run without the bad call."""
    model_id, twin = model(), model()
    trained(real, model_id, 1)
    trained(real, twin, 1)
    bad = passed(model_id, 3)
    bad["forward_backward_input"]["data"][0]["loss_fn_inputs"]["target_tokens"]["data"][2] = 10**6
    failure = real.result(real.ok("forward_backward", body=bad))
    assert failure["category"] == "user"
    assert "0" in failure["error"]
    assert "target_tokens" in failure["error"]
    real.refused(422, "forward_backward", body=passed(model_id, 4, weights=[1.0]))
    assert trained(real, model_id, 2, first=5) == trained(real, twin, 2, first=3)


def test_the_archive_is_the_adapter(real: Api, model: Callable[..., str]) -> None:
    run_id, kind, name = real.save(model(), 1, "a").removeprefix("tinker://").split("/")
    path = {"training_run_id": run_id, "checkpoint_kind": kind, "checkpoint_name": name}
    link = real.answer("get_checkpoint_archive", path=path).headers["location"]
    with tarfile.open(fileobj=io.BytesIO(real.get(link).content)) as archive:
        weights = archive.extractfile("adapter_model.safetensors")
        assert weights is not None
        stored = real.service.settings.data_dir / "checkpoints" / run_id / kind / name / "adapter_model.safetensors"
        assert weights.read() == stored.read_bytes()


def test_killing_the_engine_ends_every_wait_and_loses_no_checkpoint(
    real: Api, model: Callable[..., str], engine: ProcessEngine
) -> None:
    """R7's engine half: the process is killed with work in it."""
    model_id = model()
    session_id = model_id.partition(":")[0]
    trained(real, model_id, 1)
    path = real.save(model_id, 3, "kept")
    open_ones = [real.ok("forward_backward", body=passed(model_id, seq_id, copies=64)) for seq_id in range(4, 12)]
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    answers = [real.result(promise) for promise in open_ones]
    failures = [answer for answer in answers if "error" in answer]
    assert failures
    assert all(failure["category"] == "server" and path in failure["error"] for failure in failures)
    real.run(real.service.supervision.wait_ready())
    body = {"session_id": session_id, "model_seq_id": 60, "path": path, "optimizer": True}
    again = real.result(real.ok("load_weights", body=body))["model_id"]
    assert trained(real, again, 1)[0] > 0
