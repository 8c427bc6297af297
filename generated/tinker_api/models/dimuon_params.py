from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="DimuonParams")


@_attrs_define
class DimuonParams:
    """One step of Dimuon."""

    learning_rate: float
    type_: Literal["dimuon"] = "dimuon"
    grad_clip_norm: float | Unset = UNSET
    """ 0 or less: none. """
    beta1: float | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        learning_rate = self.learning_rate

        grad_clip_norm = self.grad_clip_norm

        beta1 = self.beta1

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "learning_rate": learning_rate,
            }
        )
        if grad_clip_norm is not UNSET:
            field_dict["grad_clip_norm"] = grad_clip_norm
        if beta1 is not UNSET:
            field_dict["beta1"] = beta1

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = cast(Literal["dimuon"], d.pop("type"))
        if type_ != "dimuon":
            raise ValueError(f"type must match const 'dimuon', got '{type_}'")

        learning_rate = d.pop("learning_rate")

        grad_clip_norm = d.pop("grad_clip_norm", UNSET)

        beta1 = d.pop("beta1", UNSET)

        dimuon_params = cls(
            type_=type_,
            learning_rate=learning_rate,
            grad_clip_norm=grad_clip_norm,
            beta1=beta1,
        )

        return dimuon_params
