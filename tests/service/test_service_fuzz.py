"""R13: no request, valid or not, is answered with 5xx, and every answer is one that the spec allows."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_bench import OPERATIONS, SPEC, Api, Bench

CASES = 100
BY_ID = sorted(OPERATIONS)

junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(["tinker://a/weights/b", "a:train:0", "..", "\x00", 2**63, -(2**70), 1e300, ""]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
word = st.text(min_size=1, max_size=12).filter(lambda text: text not in (".", ".."))


@pytest.fixture(scope="module")
def shared(service_loop: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    bench = Bench(service_loop, tmp_path_factory.mktemp("fuzz"))
    yield bench.start(long_poll_seconds=0.0)
    bench.close()


@pytest.fixture(scope="module")
def known(shared: Api) -> dict[str, str]:
    """Ids that exist, so that requests get further than the first look-up."""
    session_id = shared.session()
    model_id = shared.model(session_id)
    path = shared.save(model_id, 1, "a")
    sampler_id = shared.sampler(session_id)
    return {
        "session_id": session_id,
        "model_id": model_id,
        "training_run_id": model_id,
        "checkpoint_kind": "weights",
        "checkpoint_name": "a",
        "sampler_id": sampler_id,
        "sampling_session_id": sampler_id,
        "path": path,
        "tinker_path": path,
        "source_path": path,
        "model_path": path,
        "base_model": "null/base",
        "request_id": f"{model_id}:1",
    }


def example_of(operation_id: str) -> Any:
    operation = OPERATIONS[operation_id]
    node = SPEC.document["paths"][operation.path][operation.method.lower()]
    contents = node.get("requestBody", {}).get("content", {})
    example = contents.get("application/json", {}).get("example", {})
    return copy.deepcopy(example)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value inside."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*at, key))


def with_known(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            name: known.get(name, inner) if isinstance(inner, str) else with_known(inner, known)
            for name, inner in value.items()
        }
    return value


@st.composite
def spoilt(draw: st.DrawFn, body: Any) -> Any:
    """The body with up to three values replaced, removed or added."""
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.sampled_from(list(places(body))))
        if not at:
            if isinstance(body, dict) and draw(st.booleans()):
                body[draw(st.text(max_size=8))] = draw(junk)
                continue
            return draw(junk)
        holder = body
        for key in at[:-1]:
            holder = holder[key]
        if isinstance(holder, dict) and draw(st.integers(0, 4)) == 0:
            del holder[at[-1]]
        else:
            holder[at[-1]] = draw(junk)
    return body


@pytest.mark.parametrize("operation_id", BY_ID)
@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.data())
def test_nothing_is_answered_with_5xx(
    shared: Api, known: dict[str, str], operation_id: str, data: st.DataObject
) -> None:
    if operation_id in ("finish_session", "unload_model", "delete_checkpoint"):
        known = {}  # what the others need must stay
    operation = OPERATIONS[operation_id]
    path = {p.name: known.get(p.name, "x") for p in operation.parameters if p.location == "path"}
    query: dict[str, Any] = {}
    for parameter in operation.parameters:
        if parameter.location == "path" and data.draw(st.integers(0, 3)) == 0:
            path[parameter.name] = data.draw(word)
        if parameter.location == "query" and data.draw(st.booleans()):
            query[parameter.name] = data.draw(st.integers().map(str) | st.text(max_size=12))
    body = None
    if operation.body is not None:
        body = data.draw(spoilt(with_known(example_of(operation_id), known)))
    response = shared.answer(operation_id, path=path, query=query, content=as_json(body))
    assert response.status_code < 500, response.text


def as_json(body: Any) -> bytes | None:
    """Numbers beyond 64 bits and broken text are JSON too, as the standard library sees it."""
    return None if body is None else json.dumps(body).encode()
