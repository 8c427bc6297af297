from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.checkpoint import Checkpoint
    from ..models.user_metadata import UserMetadata


T = TypeVar("T", bound="TrainingRun")


@_attrs_define
class TrainingRun:
    """A model and its history."""

    training_run_id: str
    base_model: str
    model_owner: str
    is_lora: bool
    last_request_time: datetime.datetime
    corrupted: bool | Unset = UNSET
    lora_rank: int | None | Unset = UNSET
    last_checkpoint: Checkpoint | None | Unset = UNSET
    last_sampler_checkpoint: Checkpoint | None | Unset = UNSET
    user_metadata: None | Unset | UserMetadata = UNSET
    started_from: None | str | Unset = UNSET
    """ The checkpoint that the run was made from, by loading or copying it. The hosted service does not tell. """

    def to_dict(self) -> dict[str, Any]:
        from ..models.checkpoint import Checkpoint  # noqa: PLC0415
        from ..models.user_metadata import UserMetadata  # noqa: PLC0415

        training_run_id = self.training_run_id

        base_model = self.base_model

        model_owner = self.model_owner

        is_lora = self.is_lora

        last_request_time = self.last_request_time.isoformat()

        corrupted = self.corrupted

        lora_rank: int | None | Unset
        if isinstance(self.lora_rank, Unset):
            lora_rank = UNSET
        else:
            lora_rank = self.lora_rank

        last_checkpoint: dict[str, Any] | None | Unset
        if isinstance(self.last_checkpoint, Unset):
            last_checkpoint = UNSET
        elif isinstance(self.last_checkpoint, Checkpoint):
            last_checkpoint = self.last_checkpoint.to_dict()
        else:
            last_checkpoint = self.last_checkpoint

        last_sampler_checkpoint: dict[str, Any] | None | Unset
        if isinstance(self.last_sampler_checkpoint, Unset):
            last_sampler_checkpoint = UNSET
        elif isinstance(self.last_sampler_checkpoint, Checkpoint):
            last_sampler_checkpoint = self.last_sampler_checkpoint.to_dict()
        else:
            last_sampler_checkpoint = self.last_sampler_checkpoint

        user_metadata: dict[str, Any] | None | Unset
        if isinstance(self.user_metadata, Unset):
            user_metadata = UNSET
        elif isinstance(self.user_metadata, UserMetadata):
            user_metadata = self.user_metadata.to_dict()
        else:
            user_metadata = self.user_metadata

        started_from: None | str | Unset
        if isinstance(self.started_from, Unset):
            started_from = UNSET
        else:
            started_from = self.started_from

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "training_run_id": training_run_id,
                "base_model": base_model,
                "model_owner": model_owner,
                "is_lora": is_lora,
                "last_request_time": last_request_time,
            }
        )
        if corrupted is not UNSET:
            field_dict["corrupted"] = corrupted
        if lora_rank is not UNSET:
            field_dict["lora_rank"] = lora_rank
        if last_checkpoint is not UNSET:
            field_dict["last_checkpoint"] = last_checkpoint
        if last_sampler_checkpoint is not UNSET:
            field_dict["last_sampler_checkpoint"] = last_sampler_checkpoint
        if user_metadata is not UNSET:
            field_dict["user_metadata"] = user_metadata
        if started_from is not UNSET:
            field_dict["started_from"] = started_from

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.checkpoint import Checkpoint  # noqa: PLC0415
        from ..models.user_metadata import UserMetadata  # noqa: PLC0415

        d = dict(src_dict)
        training_run_id = d.pop("training_run_id")

        base_model = d.pop("base_model")

        model_owner = d.pop("model_owner")

        is_lora = d.pop("is_lora")

        last_request_time = datetime.datetime.fromisoformat(d.pop("last_request_time"))

        corrupted = d.pop("corrupted", UNSET)

        def _parse_lora_rank(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        lora_rank = _parse_lora_rank(d.pop("lora_rank", UNSET))

        def _parse_last_checkpoint(data: object) -> Checkpoint | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                last_checkpoint_type_0 = Checkpoint.from_dict(data)

                return last_checkpoint_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Checkpoint | None | Unset, data)

        last_checkpoint = _parse_last_checkpoint(d.pop("last_checkpoint", UNSET))

        def _parse_last_sampler_checkpoint(data: object) -> Checkpoint | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                last_sampler_checkpoint_type_0 = Checkpoint.from_dict(data)

                return last_sampler_checkpoint_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Checkpoint | None | Unset, data)

        last_sampler_checkpoint = _parse_last_sampler_checkpoint(d.pop("last_sampler_checkpoint", UNSET))

        def _parse_user_metadata(data: object) -> None | Unset | UserMetadata:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                user_metadata_type_0 = UserMetadata.from_dict(data)

                return user_metadata_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Unset | UserMetadata, data)

        user_metadata = _parse_user_metadata(d.pop("user_metadata", UNSET))

        def _parse_started_from(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        started_from = _parse_started_from(d.pop("started_from", UNSET))

        training_run = cls(
            training_run_id=training_run_id,
            base_model=base_model,
            model_owner=model_owner,
            is_lora=is_lora,
            last_request_time=last_request_time,
            corrupted=corrupted,
            lora_rank=lora_rank,
            last_checkpoint=last_checkpoint,
            last_sampler_checkpoint=last_sampler_checkpoint,
            user_metadata=user_metadata,
            started_from=started_from,
        )

        return training_run
