"""Optimizers on the wire: the configuration that a model is made with, and the settings of one step."""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from tinker_local.engine.protocol import ADAMW, DIMUON, AdamSettings, DimuonSettings, OptimizerFamily, OptimizerSettings
from tinker_local.errors import bad_request, invalid

__all__ = ["family_of", "settings_of", "shown_family"]

_NAMES: Final = ("adam_params", "optimizer_params", "optim_params")
_CLASSES: Final[Mapping[str, type[AdamSettings] | type[DimuonSettings]]] = {ADAMW: AdamSettings, DIMUON: DimuonSettings}
_DIMUON_VERSION: Final = 1


def family_of(config: Mapping[str, Any] | None) -> OptimizerFamily | None:
    """The family that a configuration asks for; None where there is none. Raises `ApiError` 400 for an unknown one."""
    if config is None:
        return None
    family, version = config["type"], config.get("version", _DIMUON_VERSION)
    if family == ADAMW:
        return "adamw"
    if family == DIMUON and version == _DIMUON_VERSION:
        return "dimuon"
    what = f"{family[:40]!r}" + (f" version {version}" if family == DIMUON else "")
    raise bad_request(f"optimizer {what} is not offered; adamw and dimuon version 1 are", "unknown_optimizer")


def shown_family(family: str) -> Mapping[str, Any]:
    """An `OptimizerConfig` of the spec."""
    return {"type": DIMUON, "version": _DIMUON_VERSION} if family == DIMUON else {"type": ADAMW}


def settings_of(body: Mapping[str, Any], family: OptimizerFamily) -> OptimizerSettings:
    """The settings of a step of a model with this family.

    Raises:
        ApiError: 422 for none, several or unknown parameters, 400 for those of another family.
    """
    given = [(name, body[name]) for name in _NAMES if body.get(name) is not None]
    if len(given) != 1:
        raise invalid(("body", _NAMES[0]), f"exactly one of {', '.join(_NAMES)} is needed, not {len(given)}")
    name, params = given[0]
    asked = params.get("type", ADAMW)
    if asked != family:
        raise bad_request(f"the model's optimizer is {family}, not {asked[:40]!r}", "unknown_optimizer")
    settings = {key: value for key, value in params.items() if key != "type"}
    fields = attrs.fields_dict(_CLASSES[family])
    unknown = next((key for key in settings if key not in fields), None)
    if unknown is not None:
        raise invalid(("body", name, unknown), f"{family} has no such parameter")
    if "learning_rate" not in settings and family == DIMUON:
        raise invalid(("body", name, "learning_rate"), "it is missing", "required")
    return _CLASSES[family](**settings)
