from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.checkpoint_storage_usage import CheckpointStorageUsage


T = TypeVar("T", bound="CurrentCheckpointStorageUsageResponse")


@_attrs_define
class CurrentCheckpointStorageUsageResponse:
    """Storage now; may lag by an hour or two."""

    data: list[CheckpointStorageUsage]
    effective_rate_usd_per_gigabyte_month: float | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        data = []
        for data_item_data in self.data:
            data_item = data_item_data.to_dict()
            data.append(data_item)

        effective_rate_usd_per_gigabyte_month: float | None | Unset
        if isinstance(self.effective_rate_usd_per_gigabyte_month, Unset):
            effective_rate_usd_per_gigabyte_month = UNSET
        else:
            effective_rate_usd_per_gigabyte_month = self.effective_rate_usd_per_gigabyte_month

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "data": data,
            }
        )
        if effective_rate_usd_per_gigabyte_month is not UNSET:
            field_dict["effective_rate_usd_per_gigabyte_month"] = effective_rate_usd_per_gigabyte_month

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.checkpoint_storage_usage import CheckpointStorageUsage  # noqa: PLC0415

        d = dict(src_dict)
        data = []
        _data = d.pop("data")
        for data_item_data in _data:
            data_item = CheckpointStorageUsage.from_dict(data_item_data)

            data.append(data_item)

        def _parse_effective_rate_usd_per_gigabyte_month(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        effective_rate_usd_per_gigabyte_month = _parse_effective_rate_usd_per_gigabyte_month(
            d.pop("effective_rate_usd_per_gigabyte_month", UNSET)
        )

        current_checkpoint_storage_usage_response = cls(
            data=data,
            effective_rate_usd_per_gigabyte_month=effective_rate_usd_per_gigabyte_month,
        )

        return current_checkpoint_storage_usage_response
