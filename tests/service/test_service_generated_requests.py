"""R13: no request, valid or not, is answered with 5xx, and every answer is one that the spec allows.

Requests made by schemathesis from the spec alone, valid and spoilt ones; protobuf bodies, which no schema describes;
whatever else fits into HTTP. `test_service_fuzz.py` spoils the spec's examples, which get further into the service than
what is made from schemas; `test_service_sequences.py` has the sequences of calls. `TINKER_HL_R13_CASES` says how many
cases each operation gets (`TINKER_HL_R13_CASES=1000` is the promise in full).
"""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core import NOT_SET
from service_bench import OPERATIONS, PROTOBUF, SPEC, Api, Bench, check
from tinker_proto import tinker_public_pb2 as pb

CASES = int(os.environ.get("TINKER_HL_R13_CASES", "100"))
QUIETLY = settings(max_examples=CASES // 2, deadline=None, suppress_health_check=list(HealthCheck), database=None)
SCHEMA = schemathesis.openapi.from_dict(dict(SPEC.document))
MADE = {found.ok().definition.raw["operationId"]: found.ok() for found in SCHEMA.get_all_operations()}
ENDS = ("finish_session", "unload_model", "delete_checkpoint")
"""Operations that end what the others need."""


@pytest.fixture(scope="module")
def shared(service_loop: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    bench = Bench(service_loop, tmp_path_factory.mktemp("r13"))
    yield bench.start(long_poll_seconds=0.0, max_sessions=10**6, max_models=10**6, max_samplers=10**6)
    bench.close()


@pytest.fixture(scope="module")
def known(shared: Api) -> dict[str, str]:
    """Ids that exist, by the names of the members that take them, so that requests get further than a look-up."""
    session_id = shared.session()
    model_id = shared.model(session_id)
    path, sampler_id = shared.save(model_id, 1, "a"), shared.sampler(session_id)
    run = {"training_run_id": model_id, "checkpoint_kind": "weights", "checkpoint_name": "a"}
    samplers = {"sampler_id": sampler_id, "sampling_session_id": sampler_id}
    paths = {"path": path, "tinker_path": path, "source_path": path, "model_path": path}
    ids = {"session_id": session_id, "model_id": model_id, "request_id": f"{model_id}:1", "base_model": "null/base"}
    return {**run, **samplers, **paths, **ids}


def with_known(value: Any, known: Mapping[str, str]) -> Any:
    """The same with ids that exist, wherever a text stands under such a name."""
    if isinstance(value, dict):
        return {
            name: known.get(name, inner) if isinstance(inner, str) else with_known(inner, known)
            for name, inner in value.items()
        }
    return [with_known(inner, known) for inner in value] if isinstance(value, list) else value


def sent(api: Api, operation_id: str, case: Any, known: Mapping[str, str]) -> httpx.Response:
    """A generated case on its way, as far as HTTP can carry it."""
    operation = OPERATIONS[operation_id]
    values = {
        **(case.path_parameters or {}),
        **{name: value for name, value in known.items() if "{" + name in operation.path},
    }
    path = operation.path
    for name, value in values.items():
        path = path.replace("{" + name + "}", quote(str(value), safe=""))
    query = {str(name): value for name, value in (case.query or {}).items()}
    headers = {
        name: value.encode("latin-1")
        for name, value in (case.headers or {}).items()
        if isinstance(value, str) and value.isprintable() and value.isascii() and name.lower() != "content-length"
    }
    content = None
    if case.body is not NOT_SET:
        headers["content-type"] = (case.media_type or "application/json").encode()
        body = with_known(case.body, known)
        content = body if isinstance(body, bytes) else json.dumps(body, default=str).encode()
    return api.request(operation.method, path, params=query, headers=headers, content=content)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation_id", sorted(OPERATIONS))
def test_r13_no_generated_request_is_answered_with_5xx(
    shared: Api, known: dict[str, str], operation_id: str, mode: GenerationMode
) -> None:
    @QUIETLY
    @given(case=MADE[operation_id].as_strategy(generation_mode=mode), use_known=st.booleans())
    def each(case: Any, use_known: bool) -> None:
        response = sent(shared, operation_id, case, known if use_known and operation_id not in ENDS else {})
        assert response.status_code < 500, response.text
        if response.status_code != 405 and b"no_such_route" not in response.content:
            check(OPERATIONS[operation_id], response)

    each()


DTYPES = st.sampled_from([pb.DTYPE_FLOAT32, pb.DTYPE_INT64, pb.DTYPE_INT32, pb.DTYPE_BFLOAT16, 0, 99])
RAW = st.binary(max_size=32) | st.lists(st.integers(-3, 300), max_size=4).map(
    lambda numbers: b"".join(number.to_bytes(8, "little", signed=True) for number in numbers)
)
SHAPES = st.lists(st.integers(-1, 4) | st.sampled_from([2**31, 2**62, -(2**63)]), max_size=9)


@st.composite
def tensors(draw: st.DrawFn) -> pb.Tensor:
    tensor = pb.Tensor(dtype=draw(DTYPES), shape=draw(SHAPES))
    if draw(st.booleans()):
        tensor.dense = draw(RAW)
    elif draw(st.booleans()):
        for field in ("values", "crow_indices", "col_indices"):
            setattr(tensor.sparse_csr, field, draw(RAW))
    return tensor


@st.composite
def passes(draw: st.DrawFn, model_id: str) -> bytes:
    """A message that is one, or nearly."""
    request = pb.ForwardBackwardRequest(
        model_id=draw(st.sampled_from([model_id, "x", ""])),
        seq_id=draw(st.integers(0, 5) | st.just(2**31 - 1)),
        loss_fn=draw(st.sampled_from(["cross_entropy", "ppo", "custom", "", "nothing"])),
        forward_only=draw(st.booleans()),
    )
    for _ in range(draw(st.integers(0, 3))):
        datum = request.data.add()
        for _ in range(draw(st.integers(0, 2))):
            datum.model_input.add().encoded_text.tokens = draw(RAW)
        for name in draw(st.lists(st.sampled_from(["target_tokens", "weights", "advantages", "x"]), max_size=3)):
            datum.loss_fn_inputs[name].CopyFrom(draw(tensors()))
    raw = request.SerializeToString()
    cut = draw(st.integers(0, len(raw)))
    return raw[:cut] if draw(st.integers(0, 3)) == 0 else raw


@settings(QUIETLY, max_examples=5 * CASES)
@given(data=st.data())
def test_r13_no_protobuf_body_is_answered_with_5xx(shared: Api, known: dict[str, str], data: st.DataObject) -> None:
    content = data.draw(passes(known["model_id"]) | st.binary(max_size=64))
    response = shared.answer("forward_backward", content=content, headers={"content-type": PROTOBUF})
    assert response.status_code < 500, response.text


WORDS = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40)
NAMES = st.sampled_from(
    [
        *(
            "accept",
            "authorization",
            "content-encoding",
            "content-type",
            "cookie",
            "expect",
            "host",
            "if-range",
            "range",
        ),
        *(
            "origin",
            "sec-fetch-site",
            "x-api-key",
            "x-idempotency-key",
            "x-stainless-package-version",
            "if-range",
            "upgrade",
        ),
    ]
)
VALUES = WORDS | st.sampled_from(
    [
        *("eyJ", "eyJ.eyJ.", "tml-", "bytes=-", "bytes=0-0,1-2", "bytes=99999999999999999999-", "gzip", "zstd", "[::"),
        *(PROTOBUF, "application/*", "application/json;charset=utf-7", "multipart/form-data", "0.38.0", "-1", "1.2.3"),
    ]
)


@settings(QUIETLY, max_examples=5 * CASES)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]),
    path=st.sampled_from(sorted({operation.path for operation in SPEC.operations}))
    | st.lists(st.text(max_size=8), max_size=8).map(lambda parts: "/" + "/".join(parts)),
    query=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
    headers=st.dictionaries(NAMES, VALUES, max_size=4),
    content=st.none() | st.binary(max_size=40),
)
def test_r13_nothing_that_fits_into_http_is_answered_with_5xx(
    shared: Api, method: str, path: str, query: dict[str, str], headers: dict[str, str], content: bytes | None
) -> None:
    url = "http://service" + quote(path, safe="/{}")  # whole, for a path may begin with two slashes
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    response = shared.request(method, url, params=query, headers=raw, content=content)
    assert response.status_code < 500, response.text
    assert response.status_code < 400 or method == "HEAD" or response.json()["detail"]
