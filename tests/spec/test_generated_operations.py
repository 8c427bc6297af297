"""Each generated function reaches its path over anything with the `request` of httpx: the seam of `tinker_hl`."""

import asyncio
import importlib
import json
from enum import Enum
from typing import Any, cast, get_type_hints

import attrs
import httpx
import tinker_api.models as models
from tinker_api import AuthenticatedClient
from tinker_api.types import UNSET

Json = dict[str, Any]


@attrs.define
class Answer:
    """All that generated code reads of an answer."""

    status_code: int
    payload: object
    headers: dict[str, str] = attrs.Factory(dict)

    @property
    def content(self) -> bytes:
        return json.dumps(self.payload).encode()

    def json(self) -> object:
        return self.payload


@attrs.define
class Line:
    """All that generated code needs of a client."""

    answer: Answer
    asked: list[Json] = attrs.Factory(list)

    async def request(self, **what: Any) -> Answer:
        self.asked.append(what)
        return self.answer


def resolved(spec: Json, node: Json) -> Json:
    while "$ref" in node:
        _, _, section, name = node["$ref"].split("/")
        node = spec["components"][section][name]
    return node


def arguments(spec: Json, operation: Json, function: Any) -> Json:
    """Every argument of a generated function, as the examples of the spec have it."""
    hints = get_type_hints(function)
    found: Json = {}
    for reference in operation.get("parameters", []):
        parameter = resolved(spec, reference)
        if not parameter.get("x-transport"):
            name = parameter["name"].lower().replace("-", "_")
            found[name] = typed(hints[name], parameter["example"])
    if "requestBody" in operation:
        found["body"] = hints["body"].from_dict(operation["requestBody"]["content"]["application/json"]["example"])
    return found


def typed(hint: Any, example: object) -> object:
    """The example as what the function takes: an enum, a date, or what it is."""
    for kind in getattr(hint, "__args__", (hint,)):
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind(example)
        if hasattr(kind, "fromisoformat"):
            return kind.fromisoformat(example)
    return example


def test_every_operation_asks_for_what_the_spec_says(canonical: Json) -> None:
    reached = 0
    for path, item in canonical["paths"].items():
        for method, operation in item.items():
            line = call(canonical, operation)
            (asked,) = line.asked
            examples = {name: p["example"] for name, p in parameters(canonical, operation, "path").items()}
            assert asked["method"] == method
            assert httpx.URL(asked["url"]).path == path.format(**examples)
            assert set(asked.get("params", {})) == set(parameters(canonical, operation, "query"))
            reached += 1
    assert reached == 50


def parameters(spec: Json, operation: Json, place: str) -> dict[str, Json]:
    found = [resolved(spec, reference) for reference in operation.get("parameters", [])]
    return {parameter["name"]: parameter for parameter in found if parameter["in"] == place}


def call(spec: Json, operation: Json) -> Line:
    """Call the operation with its examples; hold the result against the example of its answer."""
    module = importlib.import_module(f"tinker_api.api.{operation['tags'][0]}.{operation['operationId']}")
    status = next(status for status in operation["responses"] if status.startswith("2"))
    media = operation["responses"][status].get("content", {}).get("application/json")
    line = Line(Answer(int(status), media["example"] if media else None))
    client = AuthenticatedClient("http://server", token="k").set_async_httpx_client(cast(httpx.AsyncClient, line))
    answer = asyncio.run(module.asyncio_detailed(client=client, **arguments(spec, operation, module.asyncio_detailed)))
    assert answer.status_code == int(status)
    if media and not operation.get("x-future-payload"):
        assert type(answer.parsed).__name__ == media["schema"]["$ref"].rsplit("/", 1)[1]
    else:
        assert answer.parsed is None
        assert json.loads(answer.content) == line.answer.payload
    return line


def test_a_body_may_be_anything_that_becomes_a_dictionary(canonical: Json) -> None:
    """`tinker_hl` hands in encoded bodies this way."""
    module = importlib.import_module("tinker_api.api.training.forward_backward")
    encoded = object()

    class Encoded:
        def to_dict(self) -> object:
            return encoded

    line = Line(Answer(200, {"request_id": "r"}))
    client = AuthenticatedClient("http://server", token="k").set_async_httpx_client(cast(httpx.AsyncClient, line))
    future = asyncio.run(module.asyncio(client=client, body=Encoded()))
    assert line.asked[0]["json"] is encoded
    assert isinstance(future, models.UntypedAPIFuture)
    assert future.model_id is UNSET
