from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.cursor import Cursor
    from ..models.training_run import TrainingRun


T = TypeVar("T", bound="TrainingRunsResponse")


@_attrs_define
class TrainingRunsResponse:
    """Training runs."""

    training_runs: list[TrainingRun]
    cursor: Cursor
    """ Where a page lies in the whole list. """

    def to_dict(self) -> dict[str, Any]:
        training_runs = []
        for training_runs_item_data in self.training_runs:
            training_runs_item = training_runs_item_data.to_dict()
            training_runs.append(training_runs_item)

        cursor = self.cursor.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "training_runs": training_runs,
                "cursor": cursor,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.cursor import Cursor  # noqa: PLC0415
        from ..models.training_run import TrainingRun  # noqa: PLC0415

        d = dict(src_dict)
        training_runs = []
        _training_runs = d.pop("training_runs")
        for training_runs_item_data in _training_runs:
            training_runs_item = TrainingRun.from_dict(training_runs_item_data)

            training_runs.append(training_runs_item)

        cursor = Cursor.from_dict(d.pop("cursor"))

        training_runs_response = cls(
            training_runs=training_runs,
            cursor=cursor,
        )

        return training_runs_response
