"""JSON objects to public types: tolerant of newer servers, strict about what would travel on."""

from datetime import datetime, timezone
from typing import Any

import pytest

from tinker_hl import types
from tinker_hl.codec.structure import StructureError, structure

RUN = {
    "training_run_id": "r",
    "base_model": "b",
    "model_owner": "o",
    "is_lora": True,
    "last_request_time": "2026-07-13T01:02:03.5Z",
    "last_checkpoint": {
        "checkpoint_id": "weights/1",
        "checkpoint_type": "quantum",
        "time": "2026-07-13T01:02:03+02:00",
        "tinker_path": "tinker://r/weights/1",
        "public": None,
    },
}


def test_dates_nulls_and_new_values() -> None:
    run = structure({**RUN, "from_the_future": [1]}, types.TrainingRun)
    assert run.last_request_time == datetime(2026, 7, 13, 1, 2, 3, 500_000, tzinfo=timezone.utc)  # noqa: UP017
    assert run.last_checkpoint is not None
    assert run.last_checkpoint.checkpoint_type == "quantum"
    assert run.last_checkpoint.public is False
    assert run.corrupted is False


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_owner": None}, "required field missing @ TrainingRun.model_owner"),
        ({"model_owner": 5}, "TrainingRun.model_owner"),
        ({"is_lora": "yes"}, "TrainingRun.is_lora"),
        ({"lora_rank": True}, "TrainingRun.lora_rank"),
        ({"lora_rank": 1.5}, "TrainingRun.lora_rank"),
        ({"last_request_time": "yesterday"}, "TrainingRun.last_request_time"),
        ({"last_checkpoint": {"checkpoint_id": "x"}}, "TrainingRun.last_checkpoint.time"),
        ({"last_checkpoint": "x"}, "TrainingRun.last_checkpoint"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(StructureError, match=says.replace(".", r"\.")):
        structure({**RUN, **change}, types.TrainingRun)


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_only_objects_are_objects(value: Any) -> None:
    with pytest.raises(StructureError, match="TrainingRun"):
        structure(value, types.TrainingRun)


def test_unions_go_by_their_tag() -> None:
    summary = {"session_id": "s", "created_at": "2026-01-01T00:00:00Z", "owner": "o", "project_id": "p"}
    summary["checkpoints_count"] = 0  # type: ignore[assignment]

    def status(value: Any) -> Any:
        return structure({**summary, "status": value}, types.SessionSummary).status

    assert status(None) is None
    assert status({"type": "active"}) == types.SessionActive()
    finished = status({"type": "client_finished", "reason": {"type": "errored"}})
    assert finished == types.ClientSessionFinished(reason=types.ClientSessionFinishErrored())
    failed = status({"type": "failed", "category": "user", "message": "m", "reason": {"type": "new", "x": 1}})
    assert isinstance(failed, types.SessionFailed)
    assert isinstance(failed.reason, types.Unrecognized)
    assert (failed.reason.type, failed.reason.x) == ("new", 1)
    with pytest.raises(StructureError, match="reason"):
        status({"type": "client_finished"})


def test_optimizer_families() -> None:
    base = {"base_model": "b", "is_lora": True}
    assert structure(base, types.WeightsInfoResponse).optimizer_config == types.AdamOptimizerConfig()
    known = structure({**base, "optimizer_config": {"type": "dimuon", "version": 2}}, types.WeightsInfoResponse)
    assert known.optimizer_config == types.DimuonOptimizerConfig(version=2)
    other = structure({**base, "optimizer_config": {"type": "sgd", "x": 1}}, types.WeightsInfoResponse).optimizer_config
    assert (other.type, other.x) == ("sgd", 1)  # type: ignore[union-attr]


def test_completions_go_by_their_state() -> None:
    answer = structure(
        {
            "completions": [{"state": "finished", "request_id": "a"}, {"state": "failed", "request_id": "b"}],
            "cursor": 7,
        },
        types.FuturesRetrieveResponse,
    )
    assert answer.completions == [types.FutureFinished(request_id="a"), types.FutureFailed(request_id="b")]


def test_chunks_with_and_without_tags() -> None:
    bare: list[dict[str, Any]] = [
        {"tokens": [1]},
        {"data": "YWI=", "format": "png"},
        {"location": "x", "format": "jpeg"},
        {"dmel": "AQEB"},
    ]
    tagged = [
        {**chunk, "type": tag}
        for chunk, tag in zip(bare, ("encoded_text", "image", "image_asset_pointer", "dmel"), strict=True)
    ]
    for chunks in (bare, tagged):
        kinds = [type(chunk).__name__ for chunk in structure({"chunks": chunks}, types.ModelInput).chunks]
        assert kinds == ["EncodedTextChunk", "ImageChunk", "ImageAssetPointerChunk", "DmelChunk"]


def test_missing_request_id_or_number_for_text_is_no_promise() -> None:
    assert structure({"request_id": "r", "sample_sequence_ids": ["q"]}, types.UntypedAPIFuture).request_id == "r"
    for wrong in ({}, {"request_id": 7}, {"request_id": None}):
        with pytest.raises(StructureError, match="request_id"):
            structure(wrong, types.UntypedAPIFuture)


def test_an_unknown_category_is_unknown() -> None:
    failed = structure({"error": "e", "category": "weather"}, types.RequestFailedResponse)
    assert failed.category is types.RequestErrorCategory.Unknown
