"""Losses, regularizers and pipelines of them, for `TrainingClient.forward_backward_custom`; references in numpy.

Names are loaded from their modules on first use: what does not need torch works without it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinker_hl.losses.advantages import dr_grpo_advantages as dr_grpo_advantages
    from tinker_hl.losses.advantages import grpo_advantages as grpo_advantages
    from tinker_hl.losses.advantages import reinforce_plus_plus_advantages as reinforce_plus_plus_advantages
    from tinker_hl.losses.advantages import rloo_advantages as rloo_advantages
    from tinker_hl.losses.coefficients import AdaptiveKL as AdaptiveKL
    from tinker_hl.losses.coefficients import Controller as Controller
    from tinker_hl.losses.coefficients import Cosine as Cosine
    from tinker_hl.losses.coefficients import Linear as Linear
    from tinker_hl.losses.coefficients import WarmUp as WarmUp
    from tinker_hl.losses.divergences import KL as KL
    from tinker_hl.losses.divergences import Consistency as Consistency
    from tinker_hl.losses.divergences import Entropy as Entropy
    from tinker_hl.losses.divergences import JensenShannon as JensenShannon
    from tinker_hl.losses.gradient_check import GradientCheck as GradientCheck
    from tinker_hl.losses.gradient_check import check_gradient as check_gradient
    from tinker_hl.losses.kl_estimate import KLEstimate as KLEstimate
    from tinker_hl.losses.outputs import BaseLossOutput as BaseLossOutput
    from tinker_hl.losses.outputs import CustomLossOutput as CustomLossOutput
    from tinker_hl.losses.outputs import RegularizerOutput as RegularizerOutput
    from tinker_hl.losses.penalties import L1 as L1
    from tinker_hl.losses.penalties import L2 as L2
    from tinker_hl.losses.penalties import CandidateMass as CandidateMass
    from tinker_hl.losses.penalties import ElasticNet as ElasticNet
    from tinker_hl.losses.penalties import GroupLasso as GroupLasso
    from tinker_hl.losses.penalties import Smoothness as Smoothness
    from tinker_hl.losses.pipeline import Pipeline as Pipeline
    from tinker_hl.losses.pipeline import Term as Term
    from tinker_hl.losses.policy import CISPO as CISPO
    from tinker_hl.losses.policy import DRO as DRO
    from tinker_hl.losses.policy import GRPO as GRPO
    from tinker_hl.losses.policy import GSPO as GSPO
    from tinker_hl.losses.policy import PPO as PPO
    from tinker_hl.losses.policy import CrossEntropy as CrossEntropy
    from tinker_hl.losses.policy import ImportanceSampling as ImportanceSampling
    from tinker_hl.losses.policy import OnPolicyDistillation as OnPolicyDistillation
    from tinker_hl.losses.policy import ReinforcePlusPlus as ReinforcePlusPlus
    from tinker_hl.losses.preference import DPO as DPO
    from tinker_hl.losses.preference import IPO as IPO
    from tinker_hl.losses.preference import KTO as KTO
    from tinker_hl.losses.preference import SimPO as SimPO
    from tinker_hl.losses.reference import REFERENCE_DEFAULTS as REFERENCE_DEFAULTS
    from tinker_hl.losses.reference import elementwise_loss as elementwise_loss
    from tinker_hl.losses.reference import reference_loss as reference_loss
    from tinker_hl.losses.reference_model import reference_logprobs as reference_logprobs
    from tinker_hl.losses.reference_model import with_reference as with_reference
    from tinker_hl.losses.regularizer import Regularizer as Regularizer
    from tinker_hl.losses.smoothing import LabelSmoothing as LabelSmoothing
    from tinker_hl.losses.smoothing import LengthPenalty as LengthPenalty
    from tinker_hl.losses.structure import GradientPenalty as GradientPenalty
    from tinker_hl.losses.structure import Orthogonality as Orthogonality

_NAMES_BY_MODULE: dict[str, tuple[str, ...]] = {
    "advantages": (
        "dr_grpo_advantages",
        "grpo_advantages",
        "reinforce_plus_plus_advantages",
        "rloo_advantages",
    ),
    "coefficients": ("AdaptiveKL", "Controller", "Cosine", "Linear", "WarmUp"),
    "divergences": ("KL", "Consistency", "Entropy", "JensenShannon"),
    "gradient_check": ("GradientCheck", "check_gradient"),
    "kl_estimate": ("KLEstimate",),
    "outputs": ("BaseLossOutput", "CustomLossOutput", "RegularizerOutput"),
    "penalties": ("L1", "L2", "CandidateMass", "ElasticNet", "GroupLasso", "Smoothness"),
    "pipeline": ("Pipeline", "Term"),
    "policy": (
        "CISPO",
        "DRO",
        "GRPO",
        "GSPO",
        "PPO",
        "CrossEntropy",
        "ImportanceSampling",
        "OnPolicyDistillation",
        "ReinforcePlusPlus",
    ),
    "preference": ("DPO", "IPO", "KTO", "SimPO"),
    "reference": ("REFERENCE_DEFAULTS", "elementwise_loss", "reference_loss"),
    "reference_model": ("reference_logprobs", "with_reference"),
    "regularizer": ("Regularizer",),
    "smoothing": ("LabelSmoothing", "LengthPenalty"),
    "structure": ("GradientPenalty", "Orthogonality"),
}
_MODULES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}

__all__ = [*_MODULES]  # pyright: ignore[reportUnsupportedDunderAll]  # tied to the above by a test


def __getattr__(name: str) -> Any:
    """Load a public name from its module, once."""
    if name not in _MODULES:
        raise AttributeError(f"module 'tinker_hl.losses' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"tinker_hl.losses.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
