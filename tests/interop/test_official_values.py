"""The same arguments make the same values here and in both releases of the official SDK, and the same JSON is sent."""

import base64
import inspect
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from tinker_proto import tinker_public_pb2 as pb
from type_cases import ACCEPTED, REFUSED

from scripts.official_venv import NEWEST, official_python
from tinker_hl import types
from tinker_hl.codec import proto as proto_codec
from tinker_hl.codec.json import encode_record
from tinker_hl.types.record import Answer, Record

SCRIPT = Path(__file__).parent / "scripts" / "type_values.py"
CASES = (*ACCEPTED, *REFUSED)
"""Both lists; the place in it names a case."""


@pytest.fixture(scope="session")
def theirs() -> dict[str, list[dict[str, Any]]]:
    """Release -> one answer a case."""
    return {release: _asked(release, CASES) for release in ("0.7.0", NEWEST)}


def _asked(release: str, cases: Sequence[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TINKER_", "PYTHON"))}
    ended = subprocess.run(
        [official_python(release), SCRIPT],
        input=json.dumps(cases),
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return list(json.loads(ended.stdout))


def built(value: Any) -> Any:
    """Ours, from the table's way of writing objects."""
    if isinstance(value, list):
        return [built(item) for item in value]
    if not isinstance(value, dict):
        return value
    arguments = {key: built(item) for key, item in value.items() if key != "$"}
    if "$" not in value:
        return arguments
    kind = getattr(types, value["$"])
    return kind.from_ints(arguments["ints"]) if "ints" in arguments else kind(**arguments)


def made(name: str, arguments: Mapping[str, Any]) -> Any:
    """What a user builds, from its arguments; what a service answers is built from JSON too, and is the same."""
    kind = getattr(types, name)
    from_json = issubclass(kind, Answer) and "$" not in json.dumps(arguments) and name not in BUILT_BY_HAND
    parsed = kind.model_validate_json(json.dumps(arguments)) if from_json else None
    if parsed is not None and not set(arguments) <= set(inspect.signature(kind.__init__).parameters):
        return parsed  # with fields that a newer service might add
    by_hand = built({"$": name, **arguments})
    assert parsed is None or parsed == by_hand
    return by_hand


BUILT_BY_HAND: Final = ("SampledSequence", "SampleResponse")
"""What comes as protobuf, or as JSON by a codec of its own."""


def like(ours: Any, theirs: Any) -> Any:
    """Ours, cut down to the fields that theirs has."""
    if isinstance(theirs, dict):
        if isinstance(ours, Mapping):
            return {key: like(ours[key], theirs[key]) if key in ours else "missing" for key in theirs}
        return {key: like(getattr(ours, key, "missing"), item) for key, item in theirs.items()}
    if isinstance(ours, np.ndarray):
        ours = ours.tolist()
    if isinstance(theirs, list) and isinstance(ours, (list, tuple)):
        return [like(mine, other) for mine, other in zip(ours, theirs, strict=False)] + list(ours[len(theirs) :])
    if isinstance(ours, bytes):
        return ours.decode("latin-1")
    if isinstance(ours, Enum):
        return ours.value
    return ours.isoformat() if isinstance(ours, datetime) else ours


@pytest.mark.parametrize("place", range(len(ACCEPTED)), ids=lambda place: f"{place}-{CASES[place][0]}")
def test_values_and_json_are_the_same(theirs: dict[str, list[dict[str, Any]]], place: int) -> None:
    name, arguments = CASES[place]
    ours = made(name, arguments)
    by_release = {release: answers[place] for release, answers in theirs.items() if "values" in answers[place]}
    assert by_release, "no release builds this: the case says nothing"
    for answer in by_release.values():
        values = {key: item for key, item in answer["values"].items() if (name, key) not in OF_OUR_OWN}
        assert like(ours, values) == values
        if answer["wire"] is not None and "protobuf" in answer["wire"]:
            assert _message(_body(ours)) == _message(base64.b64decode(answer["wire"]["protobuf"]))
        elif answer["wire"] is not None:
            sent = json.loads(encode_record(ours))
            assert like(sent, answer["wire"]) == answer["wire"]


def _body(request: Any) -> bytes:
    """A pass as this client sends it to a server that reads protobuf."""
    given = request.forward_backward_input
    encoded = [proto_codec.encode_datum(datum) for datum in given.data]
    return bytes(
        proto_codec.forward_backward_body(
            request.model_id, request.seq_id or 0, encoded, given.loss_fn, given.loss_fn_config
        )
    )


def _message(body: bytes) -> pb.ForwardBackwardRequest:
    """Maps have no order on the wire, so that messages are compared and not bytes."""
    message = pb.ForwardBackwardRequest()
    message.ParseFromString(body)
    return message


def test_results_in_protobuf_are_read_alike() -> None:
    """Bytes that our service's message classes write, read by the newest release and by this client."""
    answers = _asked(NEWEST, [(name, {"protobuf": base64.b64encode(data).decode()}) for name, data in RESULTS])
    for (name, data), answer in zip(RESULTS, answers, strict=True):
        if name == "SampleResponse":
            ours: Any = proto_codec.decode_sample_response(data)
        else:
            ours = proto_codec.decode_forward_backward_output(data)
        assert "values" in answer, answer
        without_nan = like(ours, answer["values"])
        assert json.loads(json.dumps(without_nan), parse_constant=lambda _: None) == answer["values"]


def _floats(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


def _ints(*values: int) -> bytes:
    return np.array(values, "<i4").tobytes()


TOPK: Final = pb.TopkLogprobs(length=2, k=2, token_ids=_ints(3, 4, 5, 0), logprobs=_floats(-0.5, -1.0, -0.25, -99999.0))
RESULTS: Final = (
    (
        "SampleResponse",
        pb.SampleResponse(
            sequences=[
                pb.SampledSequence(
                    stop_reason=pb.STOP_REASON_STOP,
                    tokens=_ints(3, 5),
                    logprobs=_floats(-0.5, -0.25),
                    topk_sampled_logprobs=TOPK,
                ),
                pb.SampledSequence(stop_reason=pb.STOP_REASON_LENGTH, tokens=_ints(7)),
            ],
            prompt_logprobs=_floats(float("nan"), -1.5),
            topk_prompt_logprobs=pb.TopkLogprobs(
                length=2, k=1, token_ids=_ints(0, 9), logprobs=_floats(-99999.0, -1.5)
            ),
            prompt_cache_hit_tokens=2,
            target_prompt_logprobs=pb.Tensor(dtype=pb.DTYPE_FLOAT32, shape=[1, 2], dense=_floats(-1.5, 0.0)),
            prompt_alt_tokens=pb.PromptAltTokens(
                tokens=pb.Tensor(dtype=pb.DTYPE_INT64, shape=[1, 1], dense=np.array([9], "<i8").tobytes()),
                logprobs=pb.Tensor(dtype=pb.DTYPE_FLOAT32, shape=[1, 1], dense=_floats(-1.5)),
            ),
        ).SerializeToString(),
    ),
    ("SampleResponse", pb.SampleResponse().SerializeToString()),
    (
        "ForwardBackwardOutput",
        pb.ForwardBackwardOutput(
            loss_fn_output_type="module:ArrayRecord",
            loss_fn_outputs=[
                pb.ArrayRecord(
                    num_datums=2,
                    fields={
                        "logprobs": pb.BatchedTensor(
                            dtype=pb.DTYPE_FLOAT32,
                            data=_floats(-1.0, -2.0, -3.0),
                            offsets=np.array([0, 8, 12], "<i8").tobytes(),
                        )
                    },
                )
            ],
            metrics={"loss:sum": 6.0},
        ).SerializeToString(),
    ),
    ("ForwardBackwardOutput", pb.ForwardBackwardOutput(metrics={"loss:sum": 0.0}).SerializeToString()),
)


OF_OUR_OWN: Final[Mapping[tuple[str, str], str]] = {
    ("SampledSequence", "tokens_np"): "always an array, where theirs is None for a sequence without tokens",
}
"""Fields whose values differ, and why."""


@pytest.mark.parametrize("place", range(len(ACCEPTED), len(CASES)), ids=lambda place: f"{place}-{CASES[place][0]}")
def test_what_one_refuses_the_other_refuses(theirs: dict[str, list[dict[str, Any]]], place: int) -> None:
    name, arguments = CASES[place]
    with pytest.raises((ValueError, TypeError)):
        made(name, arguments)
    taken_by = {release for release, answers in theirs.items() if "values" in answers[place]}
    assert taken_by == STRICTER.get(place - len(ACCEPTED), (frozenset(), ""))[0]


STRICTER: Final[Mapping[int, tuple[frozenset[str], str]]] = {
    place: (frozenset({"0.7.0"}), "0.7 finds out when the tensor is used")
    for place, (name, arguments) in enumerate(REFUSED)
    if name == "TensorData" and arguments.get("shape") == [2, 2]
}
"""Place in `REFUSED` -> the releases that take it, and why ours does not."""


@pytest.mark.parametrize("release", ["0.7.0", NEWEST])
def test_nearly_every_case_is_one_that_the_release_builds(
    theirs: dict[str, list[dict[str, Any]]], release: str
) -> None:
    """So that a broken table or a broken environment is not taken for agreement."""
    built_there = sum("values" in answer for answer in theirs[release][: len(ACCEPTED)])
    assert built_there >= {"0.7.0": 70, NEWEST: len(ACCEPTED) - 12}[release]


def test_every_type_is_in_the_table() -> None:
    named = {name for name, _ in ACCEPTED}
    every = {name: getattr(types, name) for name in types.__all__}
    ours = {name for name, kind in every.items() if inspect.isclass(kind) and issubclass(kind, Record)}
    assert ours - named == NOT_THEIRS


NOT_THEIRS: Final = {
    "ApiKeyDetails",
    "ApiKeyInfo",
    "ApiKeyOrg",
    "ApiKeyUser",
    "GenericEvent",
    "OptimParamsBase",
    "OptimizerConfigBase",
    "TopkLogprobs",
    "TraceExportResponse",
    "TryAgainResponse",
    "Unrecognized",
}
"""Types that `tinker.types` does not export, or that stand for what nobody knows."""
