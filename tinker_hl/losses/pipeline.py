"""A loss made of a base and weighted terms: itself a custom loss for `forward_backward_custom`.

    loss = base + sum_i coefficient_i * term_i

Everything that is added is differentiated: what the metrics say of a term is what was trained. The module knows neither
clients nor what the terms compute.
"""

import logging
import math
import re
import threading
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

import attrs
import torch
from torch import Tensor

from tinker_hl.custom_loss.handle import LossHandle
from tinker_hl.custom_loss.metrics import metric_numbers
from tinker_hl.custom_loss.per_datum import check_inputs, over_datums
from tinker_hl.custom_loss.rules import Rule
from tinker_hl.custom_loss.surrogate import CustomLossFn, checked_result, refuse_unusable
from tinker_hl.errors import CustomLossError, InvalidDatumError, LossOptionError
from tinker_hl.losses.coefficients import Coefficient, Controller
from tinker_hl.losses.gradients import GradientReport, report
from tinker_hl.losses.options import at_least, positive, refused, whole
from tinker_hl.losses.outputs import BASE, PENALTY, TOTAL, BaseLossOutput, CustomLossOutput, RegularizerOutput
from tinker_hl.losses.side_by_side import side_by_side
from tinker_hl.types import Datum

__all__ = ["Pipeline", "Term"]

NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")


logger = logging.getLogger("tinker_hl")


def _as_function(loss: Any) -> Any:
    """A traced loss as a function of a whole call; everything else as it is."""
    if not isinstance(loss, LossHandle):
        return loss

    def run(data: list[Datum], logprobs: list[Tensor]) -> tuple[Tensor, Mapping[str, Any]]:
        check_inputs(loss, data)
        return over_datums(loss)(data, logprobs)

    return run


def _name_option(instance: Any, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if not isinstance(value, str) or not NAME.fullmatch(value) or value in (BASE, PENALTY, TOTAL):
        raise refused(
            instance,
            attribute.name,
            f"must be up to 64 lowercase letters, digits, _ and -, and not {BASE}, {PENALTY} or {TOTAL}; got {value!r}",
        )


def _loss_option(instance: Any, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if value is not None or attribute.name == "loss":
        refuse_unusable(value)


def _coefficient_option(instance: Any, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if not (callable(value) or isinstance(value, Controller)):
        at_least(0)(instance, attribute, value)


@attrs.frozen
class Term:
    """One term of a pipeline.

    Args:
        name: In metrics; lowercase letters, digits, `_` and `-`, unique in its pipeline, none of base, penalty, total.
        loss: A regularizer or a loss of this package, or a function of your own of (data, logprobs) that returns a
            scalar tensor, or (scalar, metrics); or a `LossHandle`, which runs here.
        coefficient: 0 or more: a number, a function of the step (`Linear`, `Cosine`, `WarmUp`), or a controller such as
            `AdaptiveKL`.
        monitored: Only look at it: its value is among the metrics, and nothing is added to the loss. For terms that
            have no gradient.
    """

    name: str = attrs.field(validator=_name_option)
    loss: Any = attrs.field(converter=_as_function, validator=_loss_option)
    coefficient: Coefficient = attrs.field(default=1.0, validator=_coefficient_option)
    monitored: bool = attrs.field(default=False, kw_only=True)

    def coefficient_at(self, step: int) -> float:
        """The coefficient at a step, counted from 0.

        Raises:
            LossOptionError: A schedule gave no finite number of 0 or more.
        """
        given = self.coefficient
        value = given.value if isinstance(given, Controller) else given(step) if callable(given) else given
        try:
            at_least(0)(self, attrs.fields(Term).coefficient, value)
        except LossOptionError as error:
            error.add_note(f"the term {self.name!r}, at step {step}")
            raise
        return float(value)


@attrs.frozen
class _Part:
    """What a part of the loss came to."""

    name: str
    value: Tensor
    """A scalar, float64, on the CPU."""
    own: Mapping[str, float]


def _as_tuple(terms: Iterable[Term]) -> tuple[Term, ...]:
    return tuple(terms)


def _terms_option(instance: Any, attribute: "attrs.Attribute[Any]", value: tuple[object, ...]) -> None:
    names = []
    for index, term in enumerate(value):
        if not isinstance(term, Term):
            raise refused(instance, f"terms[{index}]", f"must be a Term, got {type(term).__name__}")
        if term.name in names:
            raise refused(
                instance, f"terms[{index}]", f"has the name {term.name!r}, which another has; give it its own"
            )
        names.append(term.name)


@attrs.define(eq=False)
class Pipeline:
    """A base loss and weighted terms; called with (data, logprobs), as custom losses are.

    Its state is the step and what the controllers have learnt; `state_dict` has both. One evaluation counts as one; one
    that fails counts as none. Several clients may share a pipeline; then they share its state.

    Args:
        base: A loss in the form of a custom loss, or a `LossHandle`; None for the terms alone.
        terms: With unique names.
        gradients: Whether norms of gradients and the angle between base and terms are computed: one more backward pass
            over the logprobs for each part, none over the model.
        workers: How many parts are evaluated side by side. 1 takes one after the other in the calling thread. More pay
            where parts wait or release Python's lock for long: functions that ask a service, or large tensors.
        timeout: Seconds that parts may take side by side, before the call ends with an error.
        calls_per_step: How many evaluations make one step of the schedules: the `forward_backward_custom` calls for one
            `optim_step`.

    Raises:
        LossOptionError: Names the field.
        CustomLossError: The base, or a term, is no function.
    """

    base: CustomLossFn | None = attrs.field(converter=_as_function, validator=_loss_option)
    terms: tuple[Term, ...] = attrs.field(default=(), converter=_as_tuple, validator=_terms_option)
    gradients: bool = attrs.field(default=False, kw_only=True)
    workers: int = attrs.field(default=1, validator=whole(1), kw_only=True)
    timeout: float = attrs.field(default=30.0, validator=positive, kw_only=True)
    calls_per_step: int = attrs.field(default=1, validator=whole(1), kw_only=True)
    _calls: int = attrs.field(default=0, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.base is None and all(term.monitored for term in self.terms):
            raise refused(self, "terms", "have nothing to train, and there is no base loss")

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, which have a lock of their own."""
        names = (field.name for field in attrs.fields(type(self)))
        return {name: getattr(self, name) for name in names if name != "_lock"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)  # past the converters: it was converted before
        self._lock = threading.Lock()

    def __call__(self, data: list[Datum], logprobs: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The loss of a call, and `CustomLossOutput.metrics`."""
        total, output = self.evaluate(data, logprobs)
        return total, output.metrics()

    @property
    def step(self) -> int:
        """The step that schedules are asked for next, counted from 0; set it to go on elsewhere."""
        return self._calls // self.calls_per_step

    @step.setter
    def step(self, step: int) -> None:
        _refuse_count(self, "step", step)
        self._calls = step * self.calls_per_step

    def evaluate(self, data: list[Datum], logprobs: list[Tensor]) -> tuple[Tensor, CustomLossOutput]:
        """Compute all parts, and go on to the next step.

        What a part raises is passed on, with a note that names it.

        Args:
            data: The datums of the call.
            logprobs: Of each; leaves that require gradients.

        Returns:
            The loss, a float64 scalar, and what it is made of.

        Raises:
            CustomLossError: A part breaks a rule of custom losses, has no gradient, or took too long; names it.
            InvalidDatumError: A part is not finite; names it.
        """
        with self._lock:
            coefficients = {term.name: term.coefficient_at(self.step) for term in self.terms}
        parts = self._parts(data, logprobs)
        base = parts.pop(BASE, None)
        weights = {term.name: 0.0 if term.monitored else coefficients[term.name] for term in self.terms}
        trained = [coefficients[term.name] * parts[term.name].value for term in self.terms if not term.monitored]
        penalty = sum(trained, torch.zeros((), dtype=torch.float64))
        total = penalty if base is None else base.value + penalty
        gradients = self._gradients(base, parts, weights, logprobs)
        output = _output(base, parts, coefficients, weights, gradients)
        self._learn(output)
        return total, output

    def state_dict(self) -> dict[str, Any]:
        """Step and controllers, as plain numbers and dicts: for a checkpoint."""
        with self._lock:
            learnt = {name: controller.value for name, controller in self._controllers().items()}
            return {"calls": self._calls, "coefficients": learnt}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises:
            LossOptionError: It is of a pipeline with other controllers.
        """
        controllers = self._controllers()
        found = dict(state["coefficients"])
        if set(found) != set(controllers):
            raise refused(
                self,
                "terms",
                f"have the controllers {sorted(controllers)}, but the state is of a pipeline with {sorted(found)}",
            )
        _refuse_count(self, "calls", state["calls"])
        with self._lock:
            self._calls = state["calls"]
            for name, controller in controllers.items():
                controller.value = float(found[name])

    def _controllers(self) -> dict[str, Controller]:
        return {term.name: term.coefficient for term in self.terms if isinstance(term.coefficient, Controller)}

    def _parts(self, data: list[Datum], logprobs: list[Tensor]) -> dict[str, _Part]:
        """The parts by their names, in the order of the loss."""
        asked = {} if self.base is None else {BASE: partial(_part, BASE, self.base, data, logprobs, monitored=False)}
        for term in self.terms:
            asked[term.name] = partial(_part, term.name, term.loss, data, logprobs, monitored=term.monitored)
        return side_by_side(asked, self.workers, self.timeout)

    def _gradients(
        self, base: _Part | None, parts: Mapping[str, _Part], weights: Mapping[str, float], logprobs: list[Tensor]
    ) -> GradientReport | None:
        if not self.gradients:
            return None
        values = {name: part.value for name, part in parts.items()}
        return report(None if base is None else base.value, values, weights, logprobs)

    def _learn(self, output: CustomLossOutput) -> None:
        with self._lock:
            for term, found in zip(self.terms, output.regularizers, strict=True):
                if isinstance(term.coefficient, Controller):
                    term.coefficient.observe(found.value)
            self._calls += 1


def _part(name: str, loss: Any, data: list[Datum], logprobs: list[Tensor], *, monitored: bool) -> _Part:
    started = time.monotonic()
    try:
        found = loss(list(data), list(logprobs))
        value, metrics = checked_result((found, {}) if isinstance(found, Tensor) else found)
        own = metric_numbers(metrics)
    except Exception as error:
        logger.debug("the part %s of a pipeline raised %s", name, type(error).__name__)
        error.add_note(f"in the part {name!r} of a pipeline")
        raise
    logger.debug("the part %s of a pipeline took %.1f ms", name, 1000 * (time.monotonic() - started))
    number = float(value.item())
    if not math.isfinite(number):
        raise InvalidDatumError(f"the part {name!r} of the pipeline is {number}, which is not finite")
    if not monitored and not value.requires_grad:
        raise CustomLossError(
            f"the part {name!r} of the pipeline has no gradient: it does not depend on the logprobs that it was given",
            rule=Rule.GRADIENT,
            hint="Term(..., monitored=True) only reports it.",
        )
    return _Part(name, value.reshape(()).to(device="cpu", dtype=torch.float64), own)


def _output(
    base: _Part | None,
    parts: Mapping[str, _Part],
    coefficients: Mapping[str, float],
    weights: Mapping[str, float],
    gradients: GradientReport | None,
) -> CustomLossOutput:
    contributions = {name: weights[name] * part.value.item() for name, part in parts.items()}
    base_value = 0.0 if base is None else base.value.item()
    size = abs(base_value) + sum(abs(each) for each in contributions.values())
    norms = {} if gradients is None else gradients.norms
    terms = tuple(
        RegularizerOutput(
            name=name,
            value=part.value.item(),
            coefficient=coefficients[name],
            contribution=contributions[name],
            share=_share(contributions[name], size),
            gradient_norm=norms.get(name),
            gradient_norm_weighted=None if name not in norms else norms[name] * weights[name],
            cosine=None if gradients is None else gradients.cosines.get(name),
            custom=part.own,
        )
        for name, part in parts.items()
    )
    return CustomLossOutput(
        total=base_value + sum(contributions.values()),
        base=None
        if base is None
        else BaseLossOutput(
            value=base_value, share=_share(base_value, size), gradient_norm=norms.get(BASE), custom=base.own
        ),
        regularizers=terms,
        regularizer_total=sum(contributions.values()),
        total_gradient_norm=None if gradients is None else gradients.total_norm,
        penalty_gradient_norm=None if gradients is None else gradients.penalty_norm,
        penalty_cosine=None if gradients is None else gradients.penalty_cosine,
        penalty_angle=None if gradients is None else gradients.penalty_angle,
    )


def _refuse_count(pipeline: Pipeline, field: str, value: object) -> None:
    if not isinstance(value, int) or value < 0:
        raise refused(pipeline, field, f"must be a whole number of 0 or more, got {value!r}")


def _share(part: float, size: float) -> float:
    return abs(part) / size if size else 0.0
