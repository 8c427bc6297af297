"""Public types under the functions of `dataclasses`, as code for 0.38 uses them, and in a user's pydantic models."""

import dataclasses
from typing import Any, cast

import numpy as np
import pydantic
import pytest

from tinker_hl import types
from tinker_hl.types.dataclass_view import DataclassView
from tinker_hl.types.topk import TopkLogprobs

DATUM = types.Datum(
    model_input=types.ModelInput.from_ints([1, 2, 3]),
    loss_fn_inputs={"target_tokens": [2, 3, 4], "mask": np.ones(3, np.float32)},
)
SEQUENCE = types.SampledSequence(
    stop_reason="stop",
    sequence_id="a",
    tokens_np=np.array([1, 2], np.int32),
    logprobs_np=np.array([-1.0, -2.0], np.float32),
)
OUTPUT = types.ForwardBackwardOutput(loss_fn_output_type="x", loss_fn_outputs=[], metrics={"loss:sum": 1.0})
PASS = types.ForwardBackwardInput(data=[DATUM], loss_fn="ppo")
RECORDS: list[Any] = [
    DATUM,
    DATUM.loss_fn_inputs["target_tokens"],
    SEQUENCE,
    types.SampleResponse(sequences=[SEQUENCE], prompt_logprobs=[None, -0.5]),
    types.PromptAltTokens(
        tokens=types.TensorData([[1]], "int64", [1, 1]), logprobs=types.TensorData([[0.0]], "float32", [1, 1])
    ),
    TopkLogprobs(np.ones((1, 2), np.int32), np.zeros((1, 2), np.float32)),
    types.PromptProvenanceSpan(sequence_id="a", length=2),
    types.SampledProvenanceSpan(sequence_id="a", offset=1, length=2),
    OUTPUT,
    PASS,
    types.ForwardRequest(forward_input=PASS, model_id="m"),
    types.ForwardBackwardRequest(forward_backward_input=PASS, model_id="m", seq_id=3),
]


def test_each_type_that_has_the_view_is_tried() -> None:
    assert {type(record) for record in RECORDS} == set(DataclassView.__subclasses__())


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_replaced_copy_without_changes_is_equal_and_each_field_is_read_by_its_name(record: Any) -> None:
    assert dataclasses.is_dataclass(type(record))
    assert dataclasses.replace(record) == record
    names = [field.name for field in dataclasses.fields(record)]
    assert names
    assert list(dataclasses.asdict(record)) == names
    for name in names:
        getattr(record, name)


def test_a_loss_input_is_taken_out_of_a_datum_by_replacing() -> None:
    kept = {name: tensor for name, tensor in DATUM.loss_fn_inputs.items() if name != "mask"}
    changed = dataclasses.replace(DATUM, loss_fn_inputs=kept)
    assert list(changed.loss_fn_inputs) == ["target_tokens"]
    assert changed.model_input == DATUM.model_input
    assert "mask" in DATUM.loss_fn_inputs


def test_what_is_replaced_is_checked_as_by_the_constructor() -> None:
    with pytest.raises(TypeError, match="model_input"):
        dataclasses.replace(DATUM, model_input=cast("Any", [1, 2]))
    with pytest.raises(TypeError, match="did you mean 'metrics'"):
        dataclasses.replace(OUTPUT, **cast("Any", {"metric": {}}))


def test_samples_are_changed_by_the_names_of_their_arrays() -> None:
    shorter = dataclasses.replace(SEQUENCE, tokens_np=np.array([7], np.int32), logprobs_np=None)
    assert (shorter.tokens, shorter.logprobs, shorter.sequence_id) == ([7], None, "a")


def test_a_dataclass_of_the_users_may_extend_a_type() -> None:
    @dataclasses.dataclass(frozen=True)
    class Tagged(types.Datum):
        tag: str = "none"

    tagged = Tagged(DATUM.model_input, DATUM.loss_fn_inputs, tag="mine")
    assert (tagged.tag, tagged.model_input.length) == ("mine", 3)
    assert dataclasses.replace(tagged, tag="yours").tag == "yours"


class Plan(pydantic.BaseModel):
    """A researcher's own configuration."""

    sampling: types.SamplingParams
    adam: types.AdamParams = types.AdamParams()
    prompts: list[types.ModelInput] = []
    last: types.SampleResponse | None = None


def test_a_pydantic_model_holds_our_types_and_reads_them_back() -> None:
    plan = Plan(
        sampling=types.SamplingParams(max_tokens=4, stop=["\n"]),
        prompts=[types.ModelInput.from_ints([1, 2])],
        last=types.SampleResponse(sequences=[SEQUENCE]),
    )
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    assert Plan(**plan.model_dump()) == plan
    assert plan.model_dump()["adam"]["learning_rate"] == 1e-4


def test_a_pydantic_model_refuses_what_the_type_refuses() -> None:
    with pytest.raises(pydantic.ValidationError, match="did you mean 'max_tokens'"):
        Plan(sampling=cast("Any", {"max_token": 4}))
    with pytest.raises(pydantic.ValidationError, match="adam"):
        Plan(sampling=types.SamplingParams(), adam=cast("Any", 3))


def test_a_pydantic_schema_names_the_type() -> None:
    described = Plan.model_json_schema()["properties"]
    assert described["sampling"] == {"title": "SamplingParams", "type": "object"}
