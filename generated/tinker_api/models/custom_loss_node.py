from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.custom_loss_op import CustomLossOp
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.custom_loss_kwargs import CustomLossKwargs


T = TypeVar("T", bound="CustomLossNode")


@_attrs_define
class CustomLossNode:
    """A node of a traced loss."""

    op: CustomLossOp
    """ What a node does. """
    name: str
    """ Unique in the graph. """
    target: str
    args: list[Any] | Unset = UNSET
    """ JSON scalars, strings and lists stand for themselves, everything else is an object of one member (`ref`,
    `tuple`, `dict`, `slice`, `ellipsis`, `float`, `dtype`, `device`, `layout`, `memory_format`). """
    kwargs: CustomLossKwargs | Unset = UNSET
    """ Named arguments. """

    def to_dict(self) -> dict[str, Any]:
        op = self.op.value

        name = self.name

        target = self.target

        args: list[Any] | Unset = UNSET
        if not isinstance(self.args, Unset):
            args = self.args

        kwargs: dict[str, Any] | Unset = UNSET
        if not isinstance(self.kwargs, Unset):
            kwargs = self.kwargs.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "op": op,
                "name": name,
                "target": target,
            }
        )
        if args is not UNSET:
            field_dict["args"] = args
        if kwargs is not UNSET:
            field_dict["kwargs"] = kwargs

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.custom_loss_kwargs import CustomLossKwargs  # noqa: PLC0415

        d = dict(src_dict)
        op = CustomLossOp(d.pop("op"))

        name = d.pop("name")

        target = d.pop("target")

        args = cast(list[Any], d.pop("args", UNSET))

        _kwargs = d.pop("kwargs", UNSET)
        kwargs: CustomLossKwargs | Unset
        if isinstance(_kwargs, Unset):
            kwargs = UNSET
        else:
            kwargs = CustomLossKwargs.from_dict(_kwargs)

        custom_loss_node = cls(
            op=op,
            name=name,
            target=target,
            args=args,
            kwargs=kwargs,
        )

        return custom_loss_node
