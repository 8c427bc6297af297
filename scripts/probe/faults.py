"""Look for known faults of other servers in one server, from outside, and say which of them it has.

Run by the newest official SDK's own python, as `methods.py`, whose bench it uses. Each check is named after what is
right; a server that does otherwise has the fault.

    python faults.py MODEL         prints one JSON line: for each fault its number, what is right, outcome, detail
"""

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
from methods import TOKENS, Bench, resolved
from tinker import types  # pyright: ignore[reportMissingImports]  # in the environment that runs this

Check = Callable[[Bench], str]
"""Returns what was seen, for the page. An `AssertionError` is the fault."""
CHECKS: dict[tuple[int, str], Check] = {}
FREE = types.AdamParams(learning_rate=0.0)
CLOSE = 1e-4
"""Relative; passes over the same data may be batched differently."""
STALL_SECONDS = 2.0
ROUND_TRIP_SECONDS = 0.05


def right(number: int, what: str) -> Callable[[Check], Check]:
    """Enter a check in the table under the fault's number."""

    def enter(check: Check) -> Check:
        CHECKS[number, what] = check
        return check

    return enter


def weighted(scale: float, count: int = 1, length: int = len(TOKENS) - 1) -> list[Any]:
    """The same sequence so many times, each position with this weight."""
    tokens = [3 + (7 * position) % 90 for position in range(length + 1)]
    datum = types.Datum(
        model_input=types.ModelInput.from_ints(tokens=tokens[:-1]),
        loss_fn_inputs={
            "target_tokens": types.TensorData(data=tokens[1:], dtype="int64", shape=[length]),
            "weights": types.TensorData(data=[scale] * length, dtype="float32", shape=[length]),
        },
    )
    return [datum] * count


def summed_loss(trainer: Any, data: list[Any]) -> float:
    """The loss of a pass without gradients."""
    return float(resolved(trainer.forward(data, "cross_entropy")).metrics["loss:sum"])


def train(trainer: Any, steps: int, **adam: float) -> float:
    """So many steps; the loss after them."""
    for _ in range(steps):
        resolved(trainer.forward_backward(weighted(1.0), "cross_entropy"))
        resolved(trainer.optim_step(types.AdamParams(**{"learning_rate": 0.02, **adam})))
    return summed_loss(trainer, weighted(1.0))


def fresh(bench: Bench, **options: Any) -> Any:
    """A new model, the same each time."""
    return resolved(bench.service.create_lora_training_client(bench.model, rank=4, seed=5, **options))


def close(left: float, right_one: float) -> bool:
    """Equal but for rounding."""
    return abs(left - right_one) <= CLOSE * max(abs(left), abs(right_one), 1e-6)


def post(path: str, body: dict[str, Any], key: str | None = None) -> httpx.Response:
    """A request of our own."""
    url = os.environ["TINKER_BASE_URL"].rstrip("/") + "/api/v1/" + path
    headers = {"X-API-Key": key if key is not None else os.environ["TINKER_API_KEY"]}
    return httpx.post(url, json=body, headers=headers, timeout=60)


def new_session() -> str:
    """A session of our own."""
    body = {"tags": [], "user_metadata": {}, "sdk_version": "0.38.0", "type": "create_session"}
    return str(post("create_session", body).json()["session_id"])


@right(1, "losses are sums: weights scale them, a sequence twice counts twice, negative weights are normal")
def sums(bench: Bench) -> str:
    """The loss is linear in the weights and additive over the data."""
    trainer = fresh(bench)
    one = summed_loss(trainer, weighted(1.0))
    seen = {
        "weights times 2": summed_loss(trainer, weighted(2.0)) / one,
        "twice": summed_loss(trainer, weighted(1.0, 2)) / one,
        "weights times -1": summed_loss(trainer, weighted(-1.0)) / one,
    }
    assert [round(value, 3) for value in seen.values()] == [2.0, 2.0, -1.0], seen
    return ", ".join(f"{name}: {value:.4f}" for name, value in seen.items())


@right(2, "sampling from a checkpoint leaves the model in training as it is")
def sampling_changes_nothing(bench: Bench) -> str:
    """The loss before and after a sample from older weights."""
    trainer = fresh(bench)
    older = resolved(trainer.save_weights_and_get_sampling_client())
    before = train(trainer, 3)
    resolved(older.sample(bench.prompt(), 1, types.SamplingParams(max_tokens=3)))
    after = summed_loss(trainer, weighted(1.0))
    assert close(before, after), (before, after)
    return f"loss {before:.5f}, then {after:.5f}"


@right(3, "a snapshot for sampling stays as it was when training goes on")
def snapshots_stay(bench: Bench) -> str:
    """The same logprobs before and after more training."""
    trainer = fresh(bench)
    snapshot = resolved(trainer.save_weights_and_get_sampling_client())
    before = resolved(snapshot.compute_logprobs(bench.prompt()))[1:]
    train(trainer, 3)
    after = resolved(snapshot.compute_logprobs(bench.prompt()))[1:]
    moved = resolved(resolved(trainer.save_weights_and_get_sampling_client()).compute_logprobs(bench.prompt()))[1:]
    assert all(map(close, before, after)), (before, after)
    assert not all(map(close, before, moved)), "training changed nothing that a newer snapshot shows"
    return "equal, while a newer snapshot differs"


@right(5, "train_mlp, train_attn, train_unembed and each Adam setting are honoured or refused")
def settings_matter(bench: Bench) -> str:
    """Each one changes what two steps come to, or is refused with an error."""
    plain = train(fresh(bench), 3)
    outcomes = {}
    for name in ("train_mlp", "train_attn", "train_unembed"):
        outcomes[name] = changed(plain, partial(train_without, bench, name))
    for name, value in {"beta1": 0.1, "beta2": 0.3, "eps": 1.0, "weight_decay": 0.5, "grad_clip_norm": 1e-9}.items():
        outcomes[name] = changed(plain, partial(train_with, bench, name, value))
    ignored = [name for name, outcome in outcomes.items() if outcome == "ignored"]
    assert not ignored, f"ignored: {', '.join(ignored)}"
    return ", ".join(f"{name} {outcome}" for name, outcome in outcomes.items())


def train_without(bench: Bench, layers: str) -> float:
    """The loss after training fewer layers."""
    return train(fresh(bench, **{layers: False}), 3)


def train_with(bench: Bench, setting: str, value: float) -> float:
    """The loss after training with one setting of Adam changed."""
    return train(fresh(bench), 3, **{setting: value})


def changed(plain: float, train_otherwise: Callable[[], float]) -> str:
    """Whether a setting made a difference."""
    try:
        return "ignored" if train_otherwise() == plain else "honoured"
    except Exception:
        return "refused"


@right(6, "create_model, save_weights and load_weights are applied once, however often they are sent")
def repeats_are_one(bench: Bench) -> str:
    """The same request twice is answered with the same promise."""
    session = new_session()
    creation = {"session_id": session, "model_seq_id": 0, "base_model": bench.model, "type": "create_model"}
    creation["lora_config"] = {"rank": 4}
    made = [post("create_model", creation).json() for _ in range(2)]
    wait(made[0]["request_id"])
    model_id = f"{session}:train:0"
    save = {"model_id": model_id, "path": "once", "seq_id": 1, "type": "save_weights"}
    saved = [post("save_weights", save).json() for _ in range(2)]
    path = wait(saved[0]["request_id"])["path"]
    load = {"model_id": model_id, "path": path, "optimizer": True, "seq_id": 2, "type": "load_weights"}
    loaded = [post("load_weights", load).json() for _ in range(2)]
    wait(loaded[0]["request_id"])
    for name, pair in {"create_model": made, "save_weights": saved, "load_weights": loaded}.items():
        assert pair[0]["request_id"] == pair[1].get("request_id"), f"{name}: {pair}"
    return "the same promise for each"


def wait(request_id: str) -> dict[str, Any]:
    """A promise's result."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        answer = post("retrieve_future", {"request_id": request_id})
        body = answer.json() if answer.status_code == 200 else {"type": "try_again"}
        if body.get("type") != "try_again":
            assert "error" not in body, body
            return dict(body)
    raise AssertionError(f"{request_id} had no result after 60 s")


@right(7, "a new batch shape costs no more than a bounded moment")
def shapes_are_cheap(bench: Bench) -> str:
    """Each of eight new shapes, against the same shape again."""
    trainer = fresh(bench)
    summed_loss(trainer, weighted(1.0))
    slowest = 0.0
    for length in (9, 17, 23, 31, 39, 47, 53, 61):
        data = weighted(1.0, count=length % 5 + 1, length=length)
        slowest = max(slowest, seconds(partial(summed_loss, trainer, data)))
    assert slowest < STALL_SECONDS, f"{slowest:.1f} s for a new shape"
    return f"at most {slowest * 1000:.0f} ms for the first call at a new shape"


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@right(8, "a long sample does not hold up training")
def sampling_and_training_interleave(bench: Bench) -> str:
    """A step that begins after long samples ends before them."""
    trainer = fresh(bench)
    sampler = resolved(trainer.save_weights_and_get_sampling_client())
    params = types.SamplingParams(max_tokens=400, stop=[])
    samples = [sampler.sample(bench.prompt(), 4, params) for _ in range(4)]
    took = seconds(lambda: train(trainer, 1))
    unfinished = sum(not sample.future().done() for sample in samples)
    for sample in samples:
        resolved(sample)
    assert unfinished > 0, f"the step took {took:.1f} s and came after all samples"
    return f"a step took {took * 1000:.0f} ms while {unfinished} of 4 long samples went on"


@right(9, "a finished result reaches its caller at once, and not at the next look into a database")
def results_are_pushed(bench: Bench) -> str:
    """The round trip of a step that does nothing."""
    trainer = fresh(bench)
    times = sorted(seconds(lambda: resolved(trainer.optim_step(FREE))) for _ in range(20))
    assert times[10] < ROUND_TRIP_SECONDS, f"{times[10] * 1000:.0f} ms"
    return f"{times[10] * 1000:.0f} ms, the median of 20"


@right(11, "a key that the server does not know is refused")
def keys_are_checked(bench: Bench) -> str:
    """A made-up key."""
    body = {"tags": [], "user_metadata": {}, "sdk_version": "0.38.0", "type": "create_session"}
    status = post("create_session", body, key="tml-not-a-key-of-this-server").status_code
    assert status in (401, 403), f"status {status}"
    return f"status {status}"


@right(12, "a checkpoint name that is taken is no 409, which official clients repeat for five minutes")
def taken_names(bench: Bench) -> str:
    """The same name twice."""
    name = bench.name()
    resolved(bench.trainer.save_state(name))
    body = {"model_id": bench.run_id, "path": name, "type": "save_weights"}
    answer = post("save_weights", body)
    assert answer.status_code != 409, answer.text
    if answer.status_code == 200:
        failed = post("retrieve_future", {"request_id": answer.json()["request_id"]}).json()
        assert "error" in failed, failed
        return f"accepted, then failed: {failed['error']}"[:120]
    return f"status {answer.status_code}"


@right(13, "compute_logprobs gives one value for each token, the first unknown")
def all_positions(bench: Bench) -> str:
    """As many as tokens."""
    values = resolved(bench.sampler.compute_logprobs(bench.prompt()))
    assert len(values) == len(TOKENS), len(values)
    assert values[0] is None, values
    return f"{len(values)} values for {len(TOKENS)} tokens"


@right(14, "the promise of a sample names its sequences, passes report loss:sum, sessions finish, state makes a model")
def newest_protocol(bench: Bench) -> str:
    """What the newest official SDK needs and older servers lack."""
    assert "loss:sum" in resolved(bench.trainer.forward([bench.datum()], "cross_entropy")).metrics, "no loss:sum"
    response = resolved(bench.sampler.sample(bench.prompt(), 2, types.SamplingParams(max_tokens=2)))
    assert len({sequence.sequence_id for sequence in response.sequences}) == 2, "no sequence ids"
    resolved(bench.service.create_training_client_from_state(bench.state()))
    status = post(f"sessions/{new_session()}/finish", {"reason": {"type": "success"}, "detail": None}).status_code
    assert status < 300, f"finish: status {status}"
    return "all four"


UNSEEN = {
    4: "ready means ready, and a dead engine is started again (not visible from outside)",
    10: "the cost of a step grows with what is used, not with what could be (not visible from outside)",
    15: "checkpoint lifetimes, publishing, lists, audit and usage are there (see the methods above)",
}


def main() -> None:
    """Look for all of them, and print."""
    warnings.simplefilter("ignore")
    bench = Bench(sys.argv[1])
    found = []
    for (number, what), check in CHECKS.items():
        try:
            outcome, detail = "right", check(bench)
        except AssertionError as error:
            outcome, detail = "fault", str(error)[:300]
        except Exception as error:
            outcome, detail = "not told", f"{type(error).__name__}: {error}"[:300]
        found.append({"number": number, "right": what, "outcome": outcome, "detail": detail})
        print(f"{outcome:8} {number} {what}: {detail}", file=sys.stderr)
    found += [{"number": number, "right": what, "outcome": "", "detail": ""} for number, what in UNSEEN.items()]
    print(json.dumps({"faults": sorted(found, key=lambda row: row["number"])}), flush=True)


if __name__ == "__main__":
    main()
