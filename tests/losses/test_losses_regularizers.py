"""Every regularizer against its numpy twin and against finite differences (features 1.6: T-100, T-110 to T-116, T-118).

The twins are written from the formulas, element by element; torch's gradients are held against central differences in
float64.
"""

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import twins
from hypothesis import given, settings
from loss_rows import Array, datum, lengths, rows, some, tensors

from tinker_hl import InvalidDatumError, LossOptionError, losses

SIZES = [(target, how) for target in ("logprobs", "probabilities") for how in ("sum", "mean")]
SHAPES = [(mode, axis) for mode in ("soft", "hard", "spectral") for axis in ("sequence", "vocabulary")]
CASES: list[tuple[str, dict[str, Any], int]] = [
    *[("L1", {"target": target, "reduction": how}, 0) for target, how in SIZES],
    ("L1", {}, 3),
    ("L2", {}, 0),
    ("L2", {"centre": "mean", "reduction": "mean"}, 0),
    ("L2", {"centre": -1.0, "clip": 0.5}, 2),
    ("L2", {"centre": -3.0, "clip": 0.5}, 0),
    ("L2", {"target": "probabilities", "reduction": "datum_mean"}, 0),
    ("ElasticNet", {}, 0),
    ("ElasticNet", {"alpha": 0.25, "target": "probabilities", "reduction": "mean"}, 2),
    ("GroupLasso", {}, 0),
    ("GroupLasso", {"group": "position"}, 3),
    ("GroupLasso", {"group": 2, "target": "logprobs"}, 0),
    ("CandidateMass", {}, 3),
    ("Entropy", {}, 0),
    ("Entropy", {}, 3),
    ("Entropy", {"goal": "maximise", "normalized": True, "reduction": "sum"}, 3),
    ("Entropy", {"temperature": 0.7}, 3),
    ("Entropy", {"support": "closed"}, 2),
    *[("KL", {"direction": way}, count) for way in ("forward", "reverse", "symmetric") for count in (0, 3)],
    ("KL", {"support": "closed", "direction": "symmetric", "reduction": "sum"}, 2),
    ("JensenShannon", {}, 3),
    ("JensenShannon", {"support": "closed", "reduction": "datum_mean"}, 0),
    *[("Consistency", {"kind": kind}, count) for kind in ("mse", "l1", "cosine", "symmetric_kl") for count in (0, 2)],
    ("Consistency", {"kind": "cosine", "reduction": "sum"}, 0),
    *[("KLEstimate", {"estimator": each, "gradient": "own"}, 0) for each in ("k1", "k2", "k3")],
    ("KLEstimate", {"gradient": "own", "reduction": "sum"}, 2),
    *[("Orthogonality", {"mode": mode, "axis": axis}, 3) for mode, axis in SHAPES],
    ("LabelSmoothing", {}, 3),
    ("LabelSmoothing", {"vocabulary_size": 50, "reduction": "mean"}, 0),
]
REFERENCED = {"KL", "JensenShannon", "Consistency", "KLEstimate"}


def made(name: str, options: dict[str, Any]) -> losses.Regularizer:
    found: losses.Regularizer = getattr(losses, name)(**options)
    return found


def twin(name: str, options: dict[str, Any], logprobs: list[Array], weights: Any, reference: list[Array]) -> float:
    others = {key: value for key, value in options.items() if key != "gradient"}
    more = (reference,) if name in REFERENCED else ()
    return float(twins.REGULARIZERS[name](logprobs, weights, *more, **others))


@pytest.mark.parametrize(("name", "options", "candidates"), CASES)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_value_is_that_of_the_twin(name: str, options: dict[str, Any], candidates: int, data: st.DataObject) -> None:
    """T-110 to T-116, T-118: formula, defaults, reductions, with and without weights, ragged rows."""
    sizes = data.draw(lengths(2))
    logprobs, reference = data.draw(rows(sizes, candidates)), data.draw(rows(sizes, candidates))
    weights = None
    if data.draw(st.booleans()):
        weights = [np.abs(each) for each in data.draw(rows(sizes, candidates, 0, 1))]
        weights[-1][-1] = 0.0
        weights[0][0] = 0.5  # a mean needs something to be of
    regularizer = made(name, options)
    found = regularizer.penalty(
        tensors(logprobs), reference=tensors(reference), weights=None if weights is None else tensors(weights)
    )
    assert found.item() == pytest.approx(twin(name, options, logprobs, weights, reference), rel=1e-9, abs=1e-10)


@pytest.mark.parametrize(("name", "options", "candidates"), CASES)
def test_gradient_is_that_of_finite_differences(name: str, options: dict[str, Any], candidates: int) -> None:
    """T-104, T-120: the gradient is right, and not zero, also for KL and consistency."""
    logprobs, reference = some(candidates=candidates), some(candidates=candidates, seed=1)
    data = [datum(len(each)) for each in logprobs]
    options = {**options, "weights": [np.abs(each) for each in some(candidates=candidates, seed=2)]}
    if name in REFERENCED:
        options["reference"] = reference
    check = losses.check_gradient(made(name, options), data, logprobs)
    assert check.largest_difference < 1e-6, check
    leaves = tensors(logprobs)
    torch.autograd.backward(made(name, options)(data, leaves)[0])
    assert sum(float(each.grad.abs().sum()) for each in leaves if each.grad is not None) > 1e-3


def test_smoothness_of_neighbours() -> None:
    logprobs, weights = some(), [np.abs(each) for each in some(seed=2)]
    for given_ in (None, weights):
        found = losses.Smoothness().penalty(tensors(logprobs), weights=None if given_ is None else tensors(given_))
        assert found.item() == pytest.approx(twins.smoothness(logprobs, given_), rel=1e-9)
    check = losses.check_gradient(losses.Smoothness(weights=weights), [datum(len(x)) for x in logprobs], logprobs)
    assert check.largest_difference < 1e-6
    with pytest.raises(InvalidDatumError, match="no datum has two"):
        losses.Smoothness().penalty(tensors([np.array([-1.0])]))


def test_orthogonality_of_datums_of_one_shape() -> None:
    """T-116: axis rows."""
    logprobs = some((4, 4, 4))
    for mode in ("soft", "hard", "spectral"):
        regularizer = losses.Orthogonality(mode=mode, axis="rows")
        expected = twins.orthogonality(logprobs, None, mode=mode)
        assert regularizer.penalty(tensors(logprobs)).item() == pytest.approx(expected, rel=1e-9)
        assert losses.check_gradient(regularizer, [datum(4)] * 3, logprobs).largest_difference < 1e-6
    with pytest.raises(InvalidDatumError, match=r"datum 1 .*one shape; it has \[2\], the first \[3\]"):
        losses.Orthogonality().penalty(tensors(some((3, 2))))


# What has another gradient than its value, on purpose.


def test_the_gradient_of_an_estimated_kl_is_that_of_the_divergence() -> None:
    """T-114, T-120: over all tokens, weighted by their probability, the estimate's gradient is the KL's own."""
    logits, other = torch.randn(7, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
    p, q = torch.log_softmax(logits, 0).requires_grad_(), torch.log_softmax(other, 0)
    shift = torch.randn(7, dtype=torch.float64)
    (right,) = torch.autograd.grad(losses.KL().penalty([p[None]], reference=[q[None]]), p)
    for estimator in ("k1", "k2", "k3"):
        estimate = losses.KLEstimate(estimator=estimator, reduction="sum")
        found = estimate.penalty([p], reference=[q], weights=[p.detach().exp()])
        (gradient,) = torch.autograd.grad(found, p)
        # Of log softmax only directions that keep the sum of probabilities count: those orthogonal to p's.
        tangent = shift - (p.detach().exp() * shift).sum()
        assert torch.dot(gradient, tangent).item() == pytest.approx(torch.dot(right, tangent).item(), abs=1e-9)
        row, chances = p.detach().numpy(), p.detach().exp().numpy()
        twin = twins.kl_estimate([row], [chances], [q.numpy()], estimator=estimator, reduction="sum")
        assert found.item() == pytest.approx(twin)


def test_the_gradient_of_a_sampled_entropy_is_that_of_the_entropy() -> None:
    """T-113: -log p has no gradient on average; the score function's has the entropy's."""
    p = torch.log_softmax(torch.randn(7, dtype=torch.float64), 0).requires_grad_()
    chances = p.detach().exp()
    sampled = losses.Entropy(estimator="sampled", reduction="sum").penalty([p], weights=[chances])
    whole = losses.Entropy().penalty([p[None]])
    tangent = torch.randn(7, dtype=torch.float64)
    tangent -= (chances * tangent).sum()
    slopes = [torch.dot(torch.autograd.grad(each, p)[0], tangent).item() for each in (sampled, whole)]
    assert sampled.item() == pytest.approx(whole.item())
    assert slopes[0] == pytest.approx(slopes[1], abs=1e-9)
    assert abs(slopes[0]) > 1e-3


def test_a_length_is_penalised_through_the_score_function() -> None:
    logprobs, weights = some((3, 6, 9)), [np.array([0.0, 1, 1]), np.ones(6), np.ones(9)]
    penalty = losses.LengthPenalty(limit=8, margin=4, baseline="none")
    leaves = tensors(logprobs)
    found = penalty.penalty(leaves, weights=tensors(weights))
    assert found.item() == pytest.approx(twins.length_penalty(logprobs, weights, limit=8, margin=4))
    torch.autograd.backward(found)
    costs = [0.0, 0.5, 1.0]
    for leaf, weight, cost in zip(leaves, weights, costs, strict=True):
        assert leaf.grad is not None
        assert leaf.grad.numpy() == pytest.approx(cost / 3 * (weight != 0))
    against = tensors(logprobs)
    torch.autograd.backward(losses.LengthPenalty(limit=8, margin=4).penalty(against, weights=tensors(weights)))
    assert against[0].grad is not None
    assert against[0].grad.numpy() == pytest.approx((0.0 - 0.75) / 3 * weights[0])


def test_label_smoothing_beside_cross_entropy_is_cross_entropy_with_smoothed_labels() -> None:
    (row,) = some((4,), candidates=5)
    e = 0.1
    smoothed = np.full((4, 5), e / 5)
    smoothed[:, 0] += 1 - e
    expected = -(smoothed * row).sum()
    found = -row[:, 0].sum() + e * losses.LabelSmoothing().penalty(tensors([row])).item()
    assert found == pytest.approx(expected)


def test_what_is_left_out_and_cut_off_at_the_limits_of_the_formulas() -> None:
    """T-113: entries at or below -50; T-114: differences beyond 100 and outcomes at or below 1e-10."""
    row = torch.tensor([[-2.0, -49.0, -51.0]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(losses.Entropy().penalty([row]), row)
    assert (gradient != 0).tolist() == [[True, True, False]]
    p = torch.tensor([[math.log(0.5), math.log(0.9e-10), math.log(1.1e-10)]], dtype=torch.float64)
    q = torch.tensor([[-150.0, -1.0, -1.0]], dtype=torch.float64)
    found = losses.KL().penalty([p], reference=[q]).item()
    assert found == pytest.approx(0.5 * 100 + 1.1e-10 * (math.log(1.1e-10) + 1), abs=1e-11, rel=0)


def test_a_cosine_is_that_of_any_multiple_of_the_weights() -> None:
    """T-115; weights so small that the weighted vectors would pass for no vectors at all."""
    (x, y, w) = (some((4,), seed=seed)[0] for seed in (0, 1, 2))
    found = [
        losses.Consistency(kind="cosine").penalty(tensors([x]), reference=tensors([y]), weights=tensors([-w * scale]))
        for scale in (1.0, 1e-30)
    ]
    assert found[0].item() > 0.01
    assert found[1].item() == pytest.approx(found[0].item())


def test_a_regularizer_of_ones_own() -> None:
    """S4-15: derived from `Regularizer`, with weights read as everywhere."""

    class Largest(losses.Regularizer):
        def penalty(self, logprobs: Any, *, reference: Any = None, weights: Any = None) -> torch.Tensor:
            return torch.cat([row * w for row, w in zip(logprobs, weights, strict=True)]).max()

    rows_ = [np.array([-3.0, -1.0]), np.array([-2.0])]
    found, _ = Largest(weights=[np.array([1.0, 4.0]), np.ones(1)])([datum(2), datum(1)], tensors(rows_))
    assert found.item() == -2.0


def test_closed_divergences_are_never_negative_and_zero_of_the_same() -> None:
    for seed in range(20):
        p, q = some((6,), seed=seed), some((6,), seed=seed + 100)
        for regularizer in (losses.KL(support="closed"), losses.JensenShannon(support="closed")):
            terms = regularizer.terms(tensors(p), tensors(q))[0]
            assert bool((terms >= 0).all())
            assert bool((terms < math.log(2) + 1e-9).all()) or isinstance(regularizer, losses.KL)
            same = regularizer.terms(tensors(p), tensors(p))[0]
            assert same.detach().numpy() == pytest.approx(np.zeros(6), abs=1e-12)


def test_a_gradient_penalty_is_the_distance_of_a_norm_from_its_target() -> None:
    """T-117: on the outputs, and at points between them and a reference."""
    logprobs, reference = some((3, 2)), some((3, 2), seed=5)
    data = [datum(3), datum(2)]

    def cubes(data: Any, rows: Any) -> Any:
        return sum((each**3).sum() for each in rows) / 3, {}

    def expected(points: list[Array]) -> float:
        return float(np.mean([(math.sqrt(sum((x * x) ** 2 for x in row)) - 1) ** 2 for row in points]))

    plain = losses.GradientPenalty(loss=cubes)
    value, metrics = plain(data, tensors(logprobs))
    assert value.item() == pytest.approx(expected(logprobs))
    assert metrics["norm:mean"] == pytest.approx(np.mean([math.sqrt((row**4).sum()) for row in logprobs]))
    assert losses.check_gradient(plain, data, logprobs).largest_difference < 1e-5
    between = losses.GradientPenalty(loss=cubes, reference=reference, seed=3)
    shares = torch.rand(2, generator=torch.Generator().manual_seed(3)).tolist()
    points = [e * x + (1 - e) * y for e, x, y in zip(shares, logprobs, reference, strict=True)]
    assert between(data, tensors(logprobs))[0].item() == pytest.approx(expected(points))
    assert between(data, tensors(logprobs))[0].item() != pytest.approx(expected(points)), "drawn anew"


# Where rows come from, and what is refused.


def test_weights_and_references_from_datums_arrays_and_functions() -> None:
    """T-110, T-114, T-115: a field of the datum, values given directly, or a function."""
    logprobs, reference = some((2, 3)), some((2, 3), seed=1)
    weights = [np.array([1.0, 0.0]), np.array([0.5, 1.0, 2.0])]
    data = [datum(len(p), weights=w, mine=q) for p, w, q in zip(logprobs, weights, reference, strict=True)]
    expected = twins.kl(logprobs, weights, reference)
    for source in ("mine", reference, [torch.tensor(q) for q in reference], lambda data: reference):
        for how in ("weights", weights, lambda data: weights):
            value, metrics = losses.KL(reference=source, weights=how)(data, tensors(logprobs))
            assert value.item() == pytest.approx(expected, rel=1e-6)
            assert metrics["min:min"] <= metrics["mean:mean"] <= metrics["max:max"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing", r"datum 0 loss_fn_inputs\['missing'\]: the loss reads it"),
        ([np.zeros(3)], "has 1 rows for 2 datums"),
        ([np.zeros(3), np.zeros(2)], r"datum 1 KL.reference: shape \[2\] does not fit the logprobs, which have \[3\]"),
        ([np.zeros(3), np.array([0, math.nan, 0])], "datum 1 KL.reference: nan at element 1 is not finite"),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_name(source: Any, message: str) -> None:
    with pytest.raises(InvalidDatumError, match=message):
        losses.KL(reference=source)([datum(3), datum(3)], tensors(some((3, 3))))


def test_weights_below_zero_and_all_zero_are_refused() -> None:
    data, logprobs = [datum(2), datum(2)], some((2, 2))
    with pytest.raises(InvalidDatumError, match=r"datum 1 .*a weight of L1 is -2; it must be 0 or more"):
        losses.L1(weights=[np.ones(2), np.array([1.0, -2.0])])(data, tensors(logprobs))
    with pytest.raises(InvalidDatumError, match="nothing to take the mean of"):
        losses.Entropy(weights=[np.zeros(2), np.zeros(2)])(data, tensors(logprobs))


def test_a_stand_in_where_the_weight_is_zero_harms_nothing() -> None:
    """A reference of 0 at a prompt that the model finds impossible: e^1000 would be infinite, and its gradient no
    number."""
    row = torch.tensor([-1.0, -1000.0], dtype=torch.float64, requires_grad=True)
    weights = [torch.tensor([1.0, 0.0], dtype=torch.float64)]
    reference = [torch.tensor([-2.0, 0.0], dtype=torch.float64)]
    found = losses.KLEstimate(gradient="own").penalty([row], reference=reference, weights=weights)
    torch.autograd.backward(found)
    assert found.item() == pytest.approx(math.exp(-1) - 1 + 1)
    assert row.grad is not None
    assert row.grad.tolist() == [pytest.approx(1 - math.exp(-1)), 0.0]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: losses.L1(target="advantages"), "target"),
        (lambda: losses.L1(reduction="none"), "reduction"),
        (lambda: losses.L2(clip=0), "clip"),
        (lambda: losses.L2(centre="median"), "centre"),
        (lambda: losses.ElasticNet(alpha=1.5), "alpha"),
        (lambda: losses.GroupLasso(group=0), "group"),
        (lambda: losses.Entropy(temperature=0), "temperature"),
        (lambda: losses.Entropy(goal="max"), "goal"),
        (lambda: losses.Entropy(estimator="sampled", normalized=True), "estimator"),
        (lambda: losses.KL(direction="backward"), "direction"),
        (lambda: losses.KLEstimate(estimator="k4"), "estimator"),
        (lambda: losses.Consistency(kind="mae"), "kind"),
        (lambda: losses.Orthogonality(mode="weak"), "mode"),
        (lambda: losses.GradientPenalty(loss=3), "loss"),
        (lambda: losses.LabelSmoothing(vocabulary_size=1), "vocabulary_size"),
        (lambda: losses.LengthPenalty(limit=4, margin=5), "margin"),
    ],
)
def test_options_are_refused_by_name_when_they_are_given(make: Any, field: str) -> None:
    """T-101: values that the port let through."""
    with pytest.raises(LossOptionError, match=rf"\.{field} ") as caught:
        make()
    assert caught.value.field == field


@pytest.mark.parametrize(
    "regularizer",
    [
        losses.CandidateMass(),
        losses.Entropy(normalized=True),
        losses.Entropy(temperature=2.0),
        losses.Orthogonality(axis="sequence"),
        losses.LabelSmoothing(),
    ],
)
def test_what_needs_candidates_says_so_for_single_targets(regularizer: losses.Regularizer) -> None:
    with pytest.raises(InvalidDatumError, match=r"datum 0 loss_fn_inputs\['target_tokens'\]"):
        regularizer.penalty(tensors(some((3,))))
