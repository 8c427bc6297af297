"""What a pipeline of losses reports: values, shares and gradients of its parts, as objects, dicts and metrics.

A part's metrics are named `<part>/<what>:<reduction>`, so that the reduction of `tinker_hl.metrics_reduction` joins
them as it should; metrics of a part's own are `<part>.<name>`. The module knows nothing of how the parts are computed.
"""

from collections.abc import Mapping
from typing import Any, Final

import attrs

__all__ = ["BASE", "PENALTY", "TOTAL", "BaseLossOutput", "CustomLossOutput", "RegularizerOutput"]

BASE: Final = "base"
PENALTY: Final = "penalty"
TOTAL: Final = "total"
"""Names in metrics that no term may have."""


@attrs.frozen(kw_only=True)
class RegularizerOutput:
    """One weighted term of a pipeline."""

    name: str
    value: float
    """The term itself, before its coefficient."""
    coefficient: float
    contribution: float
    """coefficient * value: what it adds to the loss; 0 for a term that is only monitored."""
    share: float
    """|contribution| as a part of the sum of the absolute values of all parts, the base among them; from 0 to 1."""
    gradient_norm: float | None = None
    """L2 norm of the term's gradient with respect to all logprobs, before its coefficient; None if not asked for."""
    gradient_norm_weighted: float | None = None
    """The same times the coefficient."""
    cosine: float | None = None
    """Of the angle between its gradient and the base's; 0 where one of them vanishes."""
    custom: Mapping[str, float] = attrs.field(factory=dict)
    """Metrics of its own."""

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, texts and dicts, for JSON."""
        return attrs.asdict(self)


@attrs.frozen(kw_only=True)
class BaseLossOutput:
    """The loss that the terms are added to."""

    value: float
    share: float
    gradient_norm: float | None = None
    custom: Mapping[str, float] = attrs.field(factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, texts and dicts, for JSON."""
        return attrs.asdict(self)


@attrs.frozen(kw_only=True)
class CustomLossOutput:
    """What one evaluation of a pipeline found.

    Invariant: `total` is the base's value and the terms' contributions, added up.
    """

    total: float
    base: BaseLossOutput | None
    regularizers: tuple[RegularizerOutput, ...]
    regularizer_total: float
    """The terms' contributions, added up."""
    total_gradient_norm: float | None = None
    """L2 norm of the whole gradient with respect to all logprobs; None if not asked for."""
    penalty_gradient_norm: float | None = None
    """Of the gradient of `regularizer_total`."""
    penalty_cosine: float | None = None
    """Of the angle between that gradient and the base's: below 0 they pull against each other. 0 where one vanishes."""
    penalty_angle: float | None = None
    """The same angle in degrees, from 0 to 180."""

    def regularizer(self, name: str) -> RegularizerOutput:
        """The term of that name. Raises `KeyError` naming those there are."""
        for each in self.regularizers:
            if each.name == name:
                return each
        raise KeyError(f"no term {name!r}; there are {', '.join(each.name for each in self.regularizers) or 'none'}")

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, texts, lists and dicts, for JSON."""
        return attrs.asdict(self, value_serializer=lambda _, __, value: list(value) if type(value) is tuple else value)

    def metrics(self) -> dict[str, float]:
        """The same as numbers by names, for the result of `forward_backward_custom`; what is None is left out."""
        found: dict[str, float | None] = {f"{TOTAL}/value:sum": self.total}
        found[f"{TOTAL}/gradient_norm:mean"] = self.total_gradient_norm
        found[f"{PENALTY}/contribution:sum"] = self.regularizer_total
        found[f"{PENALTY}/gradient_norm:mean"] = self.penalty_gradient_norm
        found[f"{PENALTY}/cosine:mean"] = self.penalty_cosine
        found[f"{PENALTY}/angle:mean"] = self.penalty_angle
        if self.base is not None:
            found |= _metrics(BASE, self.base, _BASE_METRICS)
        for each in self.regularizers:
            found |= _metrics(each.name, each, _TERM_METRICS)
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def from_metrics(cls, metrics: Mapping[str, float]) -> "CustomLossOutput":
        """Read it back out of a training result's metrics.

        Args:
            metrics: Those of a `forward_backward_custom` with a pipeline; others among them are passed over.

        Raises:
            KeyError: There are none of a pipeline.
        """
        if f"{TOTAL}/value:sum" not in metrics:
            raise KeyError("these are not the metrics of a Pipeline: they have no total/value:sum")
        found = [key.partition("/") for key in metrics]
        # A metric of a term's own has a dot before the first slash, if it has one.
        names = [name for name, _, what in found if what == "coefficient:mean" and "." not in name]
        has_base = f"{BASE}/value:sum" in metrics
        return cls(
            total=metrics[f"{TOTAL}/value:sum"],
            base=BaseLossOutput(**_fields(BASE, metrics, _BASE_METRICS)) if has_base else None,
            regularizers=tuple(RegularizerOutput(name=name, **_fields(name, metrics, _TERM_METRICS)) for name in names),
            regularizer_total=metrics[f"{PENALTY}/contribution:sum"],
            total_gradient_norm=metrics.get(f"{TOTAL}/gradient_norm:mean"),
            penalty_gradient_norm=metrics.get(f"{PENALTY}/gradient_norm:mean"),
            penalty_cosine=metrics.get(f"{PENALTY}/cosine:mean"),
            penalty_angle=metrics.get(f"{PENALTY}/angle:mean"),
        )


_BASE_METRICS: Final[Mapping[str, str]] = {
    "value": "value:sum",
    "share": "share:mean",
    "gradient_norm": "gradient_norm:mean",
}
_TERM_METRICS: Final[Mapping[str, str]] = {
    **_BASE_METRICS,
    "coefficient": "coefficient:mean",
    "contribution": "contribution:sum",
    "gradient_norm_weighted": "gradient_norm_weighted:mean",
    "cosine": "cosine:mean",
}
"""Field -> the metric's name behind the part's."""


def _metrics(
    part: str, output: BaseLossOutput | RegularizerOutput, names: Mapping[str, str]
) -> dict[str, float | None]:
    own = {f"{part}.{name}": value for name, value in output.custom.items()}
    return {f"{part}/{name}": getattr(output, field) for field, name in names.items()} | own


def _fields(part: str, metrics: Mapping[str, float], names: Mapping[str, str]) -> dict[str, Any]:
    own = {key.removeprefix(f"{part}."): value for key, value in metrics.items() if key.startswith(f"{part}.")}
    found = {field: metrics[f"{part}/{name}"] for field, name in names.items() if f"{part}/{name}" in metrics}
    return {**found, "custom": own}
