"""Pipelines: what is trained, what is reported, what is refused (features 1.6: T-101 to T-104, T-106; GAP-LIB-003,
S0-16, S0-24, S0-36, S1-02, S1-08, S3-19, S4-15)."""

import copy
import json
import math
import pickle
import threading
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from loss_rows import datum, some, tensors
from torch import Tensor

from tinker_hl import CustomLossError, ForwardBackwardOutput, InvalidDatumError, LossOptionError, losses
from tinker_hl.losses import AdaptiveKL, CustomLossOutput, Linear, Pipeline, Term
from tinker_hl.metrics_reduction import combine
from tinker_hl.types import TensorData

DATA = [datum(3, reference_logprobs=[-1.0, -2.0, -0.5]), datum(2, reference_logprobs=[-1.5, -0.25])]
LOGPROBS = some((3, 2))


def base(data: Any, logprobs: list[Tensor]) -> tuple[Tensor, dict[str, Any]]:
    return -sum((row.sum() for row in logprobs), torch.zeros(())), {"rows": len(logprobs)}


def squares(data: Any, logprobs: list[Tensor]) -> Tensor:
    return sum((torch.square(row).sum() for row in logprobs), torch.zeros(()))


def constant(data: Any, logprobs: list[Tensor]) -> Tensor:
    return torch.tensor(3.0)


def three(**options: Any) -> Pipeline:
    terms = [Term("kl", losses.KL(), 0.5), Term("squares", squares, 2.0), Term("entropy", losses.Entropy(), 0.25)]
    return Pipeline(base, terms, **options)


def flat(gradients: Any) -> Tensor:
    return torch.cat([each.reshape(-1) for each in gradients])


# What is trained.


@settings(max_examples=20, deadline=None)
@given(weights=st.lists(st.floats(0, 5), min_size=3, max_size=3))
def test_the_loss_and_its_gradient_are_the_weighted_sum(weights: list[float]) -> None:
    """T-102, T-106, GAP-LIB-003: the terms are trained, with their coefficients."""
    terms = [("kl", losses.KL()), ("squares", squares), ("entropy", losses.Entropy())]
    pipeline = Pipeline(base, [Term(name, loss, w) for (name, loss), w in zip(terms, weights, strict=True)])
    leaves, others = tensors(LOGPROBS), tensors(LOGPROBS)
    total, output = pipeline.evaluate(DATA, leaves)
    torch.autograd.backward(total)
    values = [losses.KL()(DATA, others)[0], squares(DATA, others), losses.Entropy()(DATA, others)[0]]
    expected = base(DATA, others)[0] + sum(w * v for w, v in zip(weights, values, strict=True))
    torch.autograd.backward(expected)
    assert total.item() == pytest.approx(expected.item()) == pytest.approx(output.total)
    assert flat(leaf.grad for leaf in leaves).tolist() == pytest.approx(flat(leaf.grad for leaf in others).tolist())
    assert output.regularizer_total == pytest.approx(sum(w * v.item() for w, v in zip(weights, values, strict=True)))


def test_terms_alone_and_a_base_alone() -> None:
    leaves = tensors(LOGPROBS)
    total, output = Pipeline(None, [Term("squares", squares, 2.0)]).evaluate(DATA, leaves)
    assert total.item() == pytest.approx(2 * squares(DATA, leaves).item())
    assert output.base is None
    assert output.regularizer("squares").share == 1.0
    total, output = Pipeline(base).evaluate(DATA, leaves)
    assert (total.item(), output.regularizers) == (pytest.approx(base(DATA, leaves)[0].item()), ())


def test_dtypes_may_differ_from_part_to_part() -> None:
    leaves = [torch.tensor(row, dtype=torch.float32, requires_grad=True) for row in LOGPROBS]
    half = Term("half", lambda data, rows: sum(row.to(torch.bfloat16).sum() for row in rows))
    double = Term("double", lambda data, rows: sum(row.to(torch.float64).sum() for row in rows))
    total, _ = Pipeline(None, [half, double])(DATA, leaves)
    torch.autograd.backward(total)
    assert flat(leaf.grad for leaf in leaves).tolist() == [2.0] * 5


# What is reported.


def test_value_share_and_gradients_of_every_part() -> None:
    """T-103, T-104, S1-02, S3-19: against autograd on each part alone."""
    leaves = tensors(LOGPROBS)
    _, output = three(gradients=True).evaluate(DATA, leaves)
    weights = {"kl": 0.5, "squares": 2.0, "entropy": 0.25}
    values = {"kl": losses.KL()(DATA, leaves)[0], "squares": squares(DATA, leaves)}
    values["entropy"] = losses.Entropy()(DATA, leaves)[0]
    gradients = {name: flat(torch.autograd.grad(value, leaves)) for name, value in values.items()}
    of_base = flat(torch.autograd.grad(base(DATA, leaves)[0], leaves))
    penalty = sum((weights[name] * each for name, each in gradients.items()), torch.zeros(5))
    size = abs(output.base.value if output.base else 0) + sum(abs(w * values[n].item()) for n, w in weights.items())
    for name, weight in weights.items():
        found = output.regularizer(name)
        assert found.value == pytest.approx(values[name].item())
        assert found.contribution == pytest.approx(weight * values[name].item())
        assert found.share == pytest.approx(abs(found.contribution) / size)
        assert found.gradient_norm == pytest.approx(gradients[name].norm().item())
        assert found.gradient_norm_weighted == pytest.approx(weight * gradients[name].norm().item())
        assert found.cosine == pytest.approx(torch.cosine_similarity(of_base, gradients[name], dim=0).item())
    assert output.base is not None
    assert output.base.gradient_norm == pytest.approx(of_base.norm().item())
    assert output.base.custom == {"rows": 2.0}
    assert output.base.share + sum(each.share for each in output.regularizers) == pytest.approx(1.0)
    assert output.penalty_gradient_norm == pytest.approx(penalty.norm().item())
    assert output.total_gradient_norm == pytest.approx((of_base + penalty).norm().item())
    cosine = torch.cosine_similarity(of_base, penalty, dim=0).item()
    assert output.penalty_cosine == pytest.approx(cosine)
    assert output.penalty_angle == pytest.approx(math.degrees(math.acos(cosine)))
    assert output.regularizer("entropy").custom.keys() == {"mean:mean", "min:min", "max:max"}


def test_opposite_gradients_are_seen() -> None:
    against = Term("against", lambda data, rows: sum(row.sum() for row in rows), 0.5)
    _, output = Pipeline(base, [against], gradients=True).evaluate(DATA, tensors(LOGPROBS))
    assert output.penalty_cosine == pytest.approx(-1.0)
    assert output.penalty_angle == pytest.approx(180.0)
    assert output.total_gradient_norm == pytest.approx(0.5 * math.sqrt(5))


def test_the_output_becomes_json_and_comes_back_from_metrics() -> None:
    """T-103, S0-36."""
    for gradients in (True, False):
        total, output = three(gradients=gradients).evaluate(DATA, tensors(LOGPROBS))
        metrics = output.metrics()
        assert CustomLossOutput.from_metrics({**metrics, "loss:sum": total.item(), "other:mean": 1.0}) == output
        again = json.loads(json.dumps(output.as_dict()))
        assert again["regularizers"][1]["contribution"] == output.regularizer("squares").contribution
        assert again["base"]["custom"] == {"rows": 2.0}
        assert ("kl/gradient_norm:mean" in metrics) == gradients
    with pytest.raises(KeyError, match="not the metrics of a Pipeline"):
        CustomLossOutput.from_metrics({"loss:sum": 1.0})
    with pytest.raises(KeyError, match="no term 'x'; there are kl, squares, entropy"):
        output.regularizer("x")


def test_every_metric_survives_the_clients_reduction() -> None:
    """Of two chunks or two calls: sums are added, the others averaged, and none is lost or renamed."""
    metrics = three(gradients=True)(DATA, tensors(LOGPROBS))[1]
    record = {"logprobs": TensorData([0.0], "float32", [1])}
    joined = combine([ForwardBackwardOutput("x", [record], metrics) for _ in range(2)]).metrics
    assert {key for key in metrics if "rows" not in key} <= set(joined)
    for key, value in metrics.items():
        if not key.startswith("base."):
            assert joined[key] == pytest.approx(2 * value if key.endswith(":sum") else value), key


def test_a_monitored_term_is_reported_and_not_trained() -> None:
    """T-118: terms without a gradient."""
    watched = Term("watched", constant, monitored=True)
    leaves = tensors(LOGPROBS)
    terms = [watched, Term("squares", squares, monitored=True)]
    total, output = Pipeline(base, terms, gradients=True).evaluate(DATA, leaves)
    assert output.base is not None
    assert total.item() == output.base.value
    assert output.regularizer("watched").value == 3.0
    assert output.regularizer("watched").contribution == 0.0
    assert output.regularizer("watched").gradient_norm == 0.0
    assert (output.regularizer("squares").gradient_norm or 0) > 0
    torch.autograd.backward(total)
    assert flat(leaf.grad for leaf in leaves).tolist() == [-1.0] * 5


# Coefficients.


def test_schedules_go_by_steps_of_several_calls() -> None:
    pipeline = Pipeline(base, [Term("squares", squares, Linear(0.0, 1.0, 4))], calls_per_step=2)
    found = [pipeline.evaluate(DATA, tensors(LOGPROBS))[1].regularizers[0].coefficient for _ in range(6)]
    assert found == [0.0, 0.0, 0.25, 0.25, 0.5, 0.5]
    pipeline.step = 4
    assert pipeline.evaluate(DATA, tensors(LOGPROBS))[1].regularizers[0].coefficient == 1.0


def test_a_controller_hears_the_value_and_its_state_is_kept() -> None:
    def made() -> Pipeline:
        return Pipeline(base, [Term("squares", squares, AdaptiveKL(target=1.0, value=0.1)), Term("more", squares, 0.5)])

    one, other = made(), made()
    coefficients = [one.evaluate(DATA, tensors(LOGPROBS))[1].regularizers[0].coefficient for _ in range(3)]
    assert coefficients == pytest.approx([0.1, 0.102, 0.10404]), "clipped: the value is far above the target"
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert other.step == 3
    after = [each.evaluate(DATA, tensors(LOGPROBS))[1].total for each in (one, other)]
    assert after[0] == after[1]
    with pytest.raises(LossOptionError, match=r"have the controllers \['squares'\]"):
        one.load_state_dict({"calls": 1, "coefficients": {}})
    with pytest.raises(LossOptionError, match=r"Pipeline.calls must be a whole number"):
        one.load_state_dict({"calls": -1, "coefficients": {"squares": 1.0}})


def test_a_call_that_fails_is_no_step() -> None:
    pipeline = Pipeline(
        base, [Term("squares", squares, AdaptiveKL(1.0)), Term("nan", lambda d, r: r[0].sum() * math.nan)]
    )
    before = pipeline.state_dict()
    with pytest.raises(InvalidDatumError, match="the part 'nan' of the pipeline is nan, which is not finite"):
        pipeline(DATA, tensors(LOGPROBS))
    assert pipeline.state_dict() == before


def test_a_controller_that_raises_makes_no_step() -> None:
    class Broken:
        value = 1.0

        def observe(self, value: float) -> None:
            raise RuntimeError("no more")

    pipeline = Pipeline(base, [Term("squares", squares, Broken())])
    with pytest.raises(RuntimeError, match="no more"):
        pipeline(DATA, tensors(LOGPROBS))
    assert pipeline.step == 0


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pipeline: pickle.loads(pickle.dumps(pipeline))])
def test_a_copy_goes_on_by_itself(copied: Any) -> None:
    """As for another process, or a second run from the same configuration."""
    one = Pipeline(losses.CrossEntropy(), [Term("size", losses.L2(), AdaptiveKL(target=0.5))], gradients=True)
    one(DATA, tensors(LOGPROBS))
    other = copied(one)
    assert (other.gradients, other.state_dict()) == (True, one.state_dict())
    before = one.state_dict()
    other(DATA, tensors(LOGPROBS))
    assert other.step == 2
    assert one.state_dict() == before
    assert other.state_dict()["coefficients"] != before["coefficients"]


@pytest.mark.parametrize("value", [-1.0, math.nan, "much"])
def test_a_schedule_that_gives_nonsense_is_named(value: Any) -> None:
    pipeline = Pipeline(base, [Term("squares", squares, lambda step: value)])
    with pytest.raises(LossOptionError, match=r"Term.coefficient must be") as caught:
        pipeline(DATA, tensors(LOGPROBS))
    assert caught.value.__notes__ == ["the term 'squares', at step 0"]


# Side by side.


def test_workers_give_the_same_and_run_side_by_side() -> None:
    """S1-08, S3-19: two terms that wait for each other end only if both run at once."""
    meeting = threading.Barrier(2, timeout=20)

    def meets(data: Any, logprobs: list[Tensor]) -> Tensor:
        meeting.wait()
        return squares(data, logprobs)

    leaves, others = tensors(LOGPROBS), tensors(LOGPROBS)
    total, output = Pipeline(base, [Term("a", meets), Term("b", meets)], workers=3, gradients=True).evaluate(
        DATA, leaves
    )
    alone, expected = Pipeline(base, [Term("a", squares), Term("b", squares)], gradients=True).evaluate(DATA, others)
    assert output == expected
    torch.autograd.backward(total)
    torch.autograd.backward(alone)
    assert flat(leaf.grad for leaf in leaves).tolist() == flat(leaf.grad for leaf in others).tolist()


def test_a_part_that_does_not_end_is_named_after_the_timeout() -> None:
    """T-102: the timeout."""
    gate = threading.Event()

    def stuck(data: Any, logprobs: list[Tensor]) -> Tensor:
        gate.wait(60)
        return squares(data, logprobs)

    pipeline = Pipeline(base, [Term("stuck", stuck)], workers=2, timeout=0.05)
    try:
        with pytest.raises(
            CustomLossError, match=r"the parts (base, )?stuck of the pipeline had not ended after 0.05 s"
        ):
            pipeline(DATA, tensors(LOGPROBS))
    finally:
        gate.set()


@pytest.mark.parametrize("workers", [1, 3])
def test_what_a_term_raises_is_passed_on_with_its_name(workers: int) -> None:
    """T-102: errors {regularizer_failed, name}."""

    def raises(data: Any, logprobs: list[Tensor]) -> Tensor:
        raise LookupError("of the user")

    with pytest.raises(LookupError, match="of the user") as caught:
        Pipeline(base, [Term("mine", raises), Term("fine", squares)], workers=workers)(DATA, tensors(LOGPROBS))
    assert caught.value.__notes__ == ["in the part 'mine' of a pipeline"]


def test_the_log_tells_how_long_each_part_took_and_which_raised(caplog: pytest.LogCaptureFixture) -> None:
    """T-105."""

    def raises(data: Any, logprobs: list[Tensor]) -> Tensor:
        raise LookupError("of the user")

    with caplog.at_level("DEBUG", logger="tinker_hl"):
        Pipeline(None, [Term("timed", squares)])(DATA, tensors(LOGPROBS))
        with pytest.raises(LookupError):
            Pipeline(None, [Term("broken", raises)])(DATA, tensors(LOGPROBS))
    # By name, since a part of another test may end only now.
    timed, broken = (
        [each for each in caplog.messages if f"the part {name} of" in each] for name in ("timed", "broken")
    )
    assert [each.split()[-1] for each in timed] == ["ms"]
    assert broken == ["the part broken of a pipeline raised LookupError"]


# What is refused.


def test_a_term_without_a_gradient_is_refused_by_name() -> None:
    """T-120: a penalty that trains nothing."""
    with pytest.raises(CustomLossError, match="the part 'flat' of the pipeline has no gradient"):
        Pipeline(base, [Term("flat", constant)])(DATA, tensors(LOGPROBS))
    linear = Term("linear", losses.GradientPenalty(loss=base))
    with pytest.raises(CustomLossError, match="the part 'linear' of the pipeline has no gradient"):
        Pipeline(base, [linear])(DATA, tensors(LOGPROBS))


@pytest.mark.parametrize(
    ("returned", "message"),
    [(None, r"returns \(loss, metrics\)"), (torch.ones(2), "must be a scalar"), (torch.tensor(1), "a real number")],
)
def test_a_term_keeps_the_rules_of_custom_losses(returned: Any, message: str) -> None:
    with pytest.raises(CustomLossError, match=message) as caught:
        Pipeline(base, [Term("odd", lambda data, logprobs: returned)])(DATA, tensors(LOGPROBS))
    assert caught.value.__notes__ == ["in the part 'odd' of a pipeline"]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Term("", squares), "name"),
        (lambda: Term("KL", squares), "name"),
        (lambda: Term("a/b", squares), "name"),
        (lambda: Term("base", squares), "name"),
        (lambda: Term("a", squares, -1.0), "coefficient"),
        (lambda: Term("a", squares, math.inf), "coefficient"),
        (lambda: Pipeline(base, [Term("a", squares), Term("a", squares)]), "terms[1]"),
        (lambda: Pipeline(base, [squares]), "terms[0]"),
        (lambda: Pipeline(None, [Term("a", squares, monitored=True)]), "terms"),
        (lambda: Pipeline(base, [], workers=0), "workers"),
        (lambda: Pipeline(base, [], timeout=0), "timeout"),
        (lambda: Pipeline(base, [], calls_per_step=0), "calls_per_step"),
        (lambda: setattr(Pipeline(base), "step", -1), "step"),
    ],
)
def test_options_are_refused_by_name(make: Any, field: str) -> None:
    """T-101, T-102: weights of 0 or more, names that are there and unique."""
    with pytest.raises(LossOptionError) as caught:
        make()
    assert caught.value.field == field
    assert f".{field} " in caught.value.message


def test_names_of_losses_and_coroutines_are_no_functions() -> None:
    async def later(data: Any, logprobs: Any) -> None: ...

    for wrong in ("cross_entropy", later, 3):
        with pytest.raises(CustomLossError):
            Term("a", wrong)
        with pytest.raises(CustomLossError):
            Pipeline(wrong)  # type: ignore[arg-type]  # that is the test


def test_metrics_of_a_terms_own_may_be_of_any_kind_of_number() -> None:
    def own(data: Any, logprobs: list[Tensor]) -> tuple[Tensor, dict[str, Any]]:
        return squares(data, logprobs), {"a:sum": np.float32(2), "b": torch.tensor([3.0]), "c/d:mean": 4}

    metrics = Pipeline(base, [Term("mine", own)])(DATA, tensors(LOGPROBS))[1]
    assert [metrics[f"mine.{name}"] for name in ("a:sum", "b", "c/d:mean")] == [2.0, 3.0, 4.0]
    assert CustomLossOutput.from_metrics(metrics).regularizer("mine").custom["c/d:mean"] == 4.0
