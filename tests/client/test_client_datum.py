"""`ModelInput`, its chunks, `Datum`, and the check of data before it is sent."""

import base64
import copy
import pickle

import numpy as np
import pytest
import torch

from tinker_hl.errors import InvalidDatumError
from tinker_hl.types import (
    Datum,
    DmelChunk,
    EncodedTextChunk,
    ImageAssetPointerChunk,
    ImageChunk,
    ModelInput,
    PromptProvenanceSpan,
    SampledProvenanceSpan,
    TensorData,
)
from tinker_hl.types.datum import validate_datum


def datum(tokens: int = 3, **inputs: object) -> Datum:
    return Datum(ModelInput.from_ints(range(tokens)), {"target_tokens": list(range(tokens)), **inputs})  # type: ignore[dict-item]


def test_a_model_input_grows_without_changing() -> None:
    first = ModelInput.from_ints([1, 2])
    grown = first.append_int(3).append(EncodedTextChunk(tokens=(4, 5)))
    assert (first.to_ints(), grown.to_ints(), grown.length, len(grown.chunks)) == ([1, 2], [1, 2, 3, 4, 5], 5, 2)
    assert ModelInput.empty().length == 0
    assert ModelInput(chunks=[EncodedTextChunk(tokens=[1, 2])]) == first
    assert hash(EncodedTextChunk(tokens=[1])) == hash(EncodedTextChunk(tokens=np.array([1])))


def test_tokens_are_a_list_whatever_they_came_from() -> None:
    for source in ([1, 2], (1, 2), np.array([1, 2]), torch.tensor([1, 2])):
        assert ModelInput.from_ints(source).chunks[0].tokens == [1, 2]  # type: ignore[union-attr]


def test_later_changes_of_the_tokens_change_nothing() -> None:
    numbers, array = [1, 2], np.array([1, 2], dtype=np.int32)
    made = [ModelInput.from_ints(numbers), ModelInput.from_ints(array)]
    numbers[0], array[0] = 9, 9
    assert [one.to_ints() for one in made] == [[1, 2], [1, 2]]


def test_chunks_must_be_chunks() -> None:
    with pytest.raises(TypeError, match=r"chunks\[0\].*from_ints"):
        ModelInput(chunks=[1, 2])  # type: ignore[list-item]  # on purpose
    with pytest.raises(TypeError):
        ModelInput([])  # type: ignore[misc]  # keyword only, as the official type


def test_images_know_their_length_only_if_told() -> None:
    image = ImageChunk(data=b"png", format="png", expected_tokens=5)
    assert image.length == 5
    assert ImageChunk(data=base64.b64encode(b"png").decode(), format="png").data == b"png"  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected_tokens"):
        _ = ImageAssetPointerChunk(format="jpeg", location="s3://x").length
    with pytest.raises(ValueError, match="format"):
        ImageChunk(data=b"", format="gif")  # type: ignore[arg-type]  # on purpose
    mixed = ModelInput.from_ints([1]).append(image)
    assert (mixed.length, mixed.known_length) == (6, 6)
    assert mixed.append(ImageChunk(data=b"", format="png")).known_length is None
    with pytest.raises(ValueError, match=r"chunks\[1\]"):
        mixed.to_ints()
    assert b"png".decode() not in repr(image).replace("'png'", "")


@pytest.mark.parametrize(
    ("header", "length"),
    [([1, 2, 5, 80], 5), ([254, 0, 1, 0xAC, 0x02], 300)],
)
def test_audio_has_the_first_dimension_of_its_header(header: list[int], length: int) -> None:
    assert DmelChunk(dmel=bytes(header)).length == length


@pytest.mark.parametrize("header", [[], [254], [9, 1, 1], [1], [1, 0], [1, 1, 0x80]])
def test_a_broken_audio_header_has_no_length(header: list[int]) -> None:
    with pytest.raises(ValueError, match="dmel"):
        _ = DmelChunk(dmel=bytes(header)).length


def test_loss_inputs_of_every_kind() -> None:
    tensor = TensorData([1.0, 2.0], "float32", [2])
    made = Datum(
        ModelInput.from_ints([1, 2]),
        {
            "target_tokens": [2, 3],
            "weights": (1, 0.5),
            "advantages": np.ones(2),
            "logprobs": torch.zeros(2),
            "mask": tensor,
        },  # type: ignore[dict-item]  # converted
    )
    kinds = {key: value.dtype for key, value in made.loss_fn_inputs.items()}
    floats = dict.fromkeys(("weights", "advantages", "logprobs", "mask"), "float32")
    assert kinds == {"target_tokens": "int64", **floats}
    assert made.loss_fn_inputs["mask"] is tensor
    made.loss_fn_inputs.pop("mask")
    made.loss_fn_inputs["weights"] = tensor
    assert made.loss_fn_inputs["weights"].data == [1.0, 2.0]


@pytest.mark.parametrize(
    "mask",
    [
        (0, 1),
        range(2),
        np.array([False, True]),
        np.array([0, 1], dtype=np.uint8),
        torch.tensor([False, True]),
        torch.tensor([0.0, 1.0], dtype=torch.bfloat16, requires_grad=True),
        torch.tensor([[0.0, 9.0], [1.0, 9.0]]).t()[0],
        [torch.tensor(0.0, requires_grad=True), torch.tensor(1.0)],
        [np.float64(0), np.int64(1)],
    ],
)
def test_the_key_gives_the_dtype_whatever_the_numbers_come_in(mask: object) -> None:
    made = Datum(ModelInput.from_ints([1, 2]), {"target_tokens": mask, "weights": mask})
    assert made.loss_fn_inputs == {
        "target_tokens": TensorData([0, 1], "int64", [2]),
        "weights": TensorData([0.0, 1.0], "float32", [2]),
    }


def test_rows_of_arrays_are_a_matrix() -> None:
    rows = [torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, 4.0], dtype=torch.float16)]
    made = Datum(ModelInput.from_ints([1, 2]), {"weights": rows, "target_tokens": [np.arange(2), np.arange(2)]})
    assert made.loss_fn_inputs["weights"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert made.loss_fn_inputs["target_tokens"].tolist() == [[0, 1], [0, 1]]


def test_what_is_shown_is_short() -> None:
    long = Datum(ModelInput.from_ints(range(5000)), {"target_tokens": np.arange(5000), "weights": np.ones((5000, 4))})
    shown = repr(long)
    assert len(shown) < 300
    assert "5000 in all" in shown
    assert "float32, shape=[5000, 4]" in shown
    assert "span" not in shown
    many = ModelInput(chunks=[EncodedTextChunk(tokens=[1])] * 100)
    assert len(repr(many)) < 400
    assert "100 in all" in repr(many)


def test_only_torch_matrices_of_targets_and_weights_are_compressed() -> None:
    matrix = torch.zeros(8, 8)
    matrix[0, 0] = 1
    made = Datum(
        ModelInput.from_ints(range(8)),
        {"weights": matrix, "advantages": matrix, "target_tokens": matrix.long(), "logprobs": matrix.numpy()},  # type: ignore[dict-item]
    )
    sparse = {key: value.is_sparse for key, value in made.loss_fn_inputs.items()}
    assert sparse == {"weights": True, "advantages": False, "target_tokens": True, "logprobs": False}


@pytest.mark.parametrize(
    ("inputs", "error", "says"),
    [
        ({"target_tokens": [1.5]}, ValueError, "target_tokens.*1.5"),
        ({"weights": [[1], [1, 2]]}, ValueError, "weights.*rectangular"),
        ({"weights": "abc"}, TypeError, "weights.*str"),
        ({"weights": ModelInput.empty()}, TypeError, "weights.*ModelInput"),
        ({"my_own": [1, 2]}, InvalidDatumError, "my_own.*give an array"),
        ({"weigths": [1, 2]}, InvalidDatumError, "(?s)weigths.*did you mean 'weights'".replace("did", "Did")),
        ({"target_tokens": np.array([1.5])}, ValueError, "target_tokens.*1.5"),
        ({"target_tokens": torch.tensor([0.5])}, ValueError, "target_tokens.*0.5"),
        ({"target_tokens": {1, 2}}, TypeError, "target_tokens.*set"),
        ({"my_own": range(2)}, InvalidDatumError, "my_own.*give an array"),
        ([1], TypeError, "dict"),
    ],
)
def test_other_loss_inputs_are_refused_by_name(inputs: object, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Datum(ModelInput.from_ints([1]), inputs)  # type: ignore[arg-type]  # on purpose


def test_a_result_put_into_a_datum_is_frozen() -> None:
    values = np.zeros(2, np.float32)
    made = datum(2, logprobs=TensorData.adopt(values))
    values[0] = 9
    assert made.loss_fn_inputs["logprobs"].data == [0.0, 0.0]


def test_provenance_covers_the_whole_datum() -> None:
    prompt = PromptProvenanceSpan(sequence_id="q", length=2)
    sampled = SampledProvenanceSpan(sequence_id="q", offset=1, length=1)
    told = datum(3).with_provenance([prompt, sampled], [prompt, sampled])
    assert (told.model_input_spans, told.loss_fn_input_spans) == ([prompt, sampled], [prompt, sampled])
    with pytest.raises(ValueError, match="2 positions, not 3"):
        datum(3).with_provenance([prompt], [prompt, sampled])
    with pytest.raises(TypeError, match="str"):
        datum(3).with_provenance(["q"], [])  # type: ignore[list-item]  # on purpose
    for wrong in ({"sequence_id": "", "length": 1}, {"sequence_id": "q", "length": -1}):
        with pytest.raises(ValueError):  # noqa: PT011  # attrs words it
            PromptProvenanceSpan(**wrong)  # type: ignore[arg-type]


def test_a_datum_survives_pickle_copy_and_json() -> None:
    made = datum(2, weights=np.ones((2, 3)))
    assert pickle.loads(pickle.dumps(made)) == made
    assert copy.deepcopy(made) == made
    assert Datum.model_validate_json(made.model_dump_json()) == made


NAN = float("nan")


@pytest.mark.parametrize(
    ("bad", "loss_fn", "says"),
    [
        (Datum(ModelInput.empty(), {"target_tokens": []}), None, "model_input: it has no tokens"),  # type: ignore[dict-item]
        (datum(3, weights=[1.0, NAN, 1.0]), None, "'weights'.*nan at element 1"),
        (datum(3, advantages=[1.0, 1.0, float("-inf")]), None, "'advantages'.*-inf at element 2"),
        (datum(3, weights=[1.0, 1.0]), None, r"'weights'.*shape \[2\] does not fit 3 positions"),
        (datum(3, weights=np.ones((3, 2, 2))), None, "'weights'.*shape"),
        (datum(3), "ppo", "'logprobs'.*'ppo' needs it"),
        (Datum(ModelInput.from_ints([1])), "cross_entropy", "'target_tokens'.*needs it"),
        (
            Datum(ModelInput(chunks=[ImageAssetPointerChunk(format="png", location="x")])),
            None,
            "model_input: an image pointer",
        ),
        ("text", None, "a Datum is needed, got str"),
    ],
)
def test_bad_data_is_refused_before_it_is_sent(bad: Datum, loss_fn: str | None, says: str) -> None:
    with pytest.raises(InvalidDatumError, match=f"datum 4.*{says}") as caught:
        validate_datum(bad, 4, loss_fn)
    assert caught.value.datum_index == 4


def test_entries_replaced_later_are_checked_too() -> None:
    made = datum(2)
    made.loss_fn_inputs["weights"] = torch.tensor([1.0, NAN])  # type: ignore[assignment]  # as research code does
    with pytest.raises(InvalidDatumError, match=r"'weights'.*nan"):
        validate_datum(made, 0)
    made.loss_fn_inputs["weights"] = "text"  # type: ignore[assignment]  # on purpose
    with pytest.raises(InvalidDatumError, match="str"):
        validate_datum(made, 0)


def test_good_data_passes() -> None:
    validate_datum(datum(3, weights=[-1.0, 0.0, 2.5]), 0, "cross_entropy")
    validate_datum(datum(3, weights=np.ones((3, 2)), anything=np.ones(7)), 0, "custom")
    unknown_length = ModelInput.from_ints([1]).append(ImageChunk(data=b"x", format="png"))
    validate_datum(Datum(unknown_length, {"target_tokens": [1, 2, 3]}), 0)  # type: ignore[dict-item]
