"""The API's description as the service reads it: operations, their parameters, their bodies' schemas, their defaults.

It reads `openapi.yaml` and resolves references. It does not know Starlette, handlers or what an operation does.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

import attrs
import yaml

__all__ = ["Operation", "Parameter", "Schema", "Spec", "load_spec"]

Schema = Mapping[str, Any]

_METHODS = ("get", "put", "post", "delete", "patch")
_JSON = "application/json"
_PROTOBUF = "application/x-protobuf"


@attrs.frozen(kw_only=True)
class Parameter:
    """One parameter of a path or a query. Headers are read where they mean something, and never refused."""

    name: str
    location: Literal["path", "query"]
    required: bool
    schema: Schema = attrs.field(eq=False)

    @property
    def default(self) -> Any:
        """What an absent parameter stands for."""
        return self.schema.get("default")


@attrs.frozen(kw_only=True)
class Operation:
    """One method on one path."""

    operation_id: str
    method: str
    path: str
    parameters: tuple[Parameter, ...]
    body: str | None
    """Name of the JSON body's schema; None where there is no body."""
    takes_protobuf: bool
    responses: Mapping[str, Any] = attrs.field(eq=False)


class Spec:
    """A parsed description; never changed."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.components: Schema = document["components"]
        self.operations: tuple[Operation, ...] = tuple(self._operations())

    def schema(self, name: str) -> Schema:
        """A named schema, with its references as they are."""
        return cast(Schema, self.components["schemas"][name])

    def resolve(self, node: Schema) -> Schema:
        """`node` with its own reference followed; members that stand beside a reference (`default`) stay."""
        while "$ref" in node:
            beside = {key: value for key, value in node.items() if key != "$ref"}
            node = {**self._target(node["$ref"]), **beside}
        return node

    def standalone(self, node: Schema) -> dict[str, Any]:
        """A schema that can be compiled by itself: its references lead into the components that it brings along.

        They are those that it needs and no others: each compiled schema holds all that it was given.
        """
        needed: dict[str, dict[str, Any]] = {}
        waiting = list(_references(node))
        while waiting:
            reference = waiting.pop()
            kind, name = reference.removeprefix("#/components/").split("/")
            if name not in needed.setdefault(kind, {}):
                needed[kind][name] = self._target(reference)
                waiting += _references(needed[kind][name])
        return {**node, "components": needed}

    def _target(self, reference: str) -> Schema:
        node: Any = self.document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        return cast(Schema, node)

    def _operations(self) -> Sequence[Operation]:
        found = []
        for path, item in self.document["paths"].items():
            shared = item.get("parameters", [])
            found += [self._operation(method, path, item[method], shared) for method in _METHODS if method in item]
        return found

    def _operation(self, method: str, path: str, node: Mapping[str, Any], shared: Sequence[Schema]) -> Operation:
        parameters = [self.resolve(parameter) for parameter in [*shared, *node.get("parameters", [])]]
        contents = self.resolve(node.get("requestBody", {})).get("content", {})
        return Operation(
            operation_id=node["operationId"],
            method=method.upper(),
            path=path,
            parameters=tuple(self._parameter(p) for p in parameters if p["in"] in ("path", "query")),
            body=contents[_JSON]["schema"]["$ref"].rpartition("/")[2] if _JSON in contents else None,
            takes_protobuf=_PROTOBUF in contents,
            responses=node["responses"],
        )

    def _parameter(self, node: Schema) -> Parameter:
        return Parameter(
            name=node["name"],
            location=node["in"],
            required=bool(node.get("required", False)),
            schema=self.resolve(node["schema"]),
        )


def _references(node: Any) -> Iterator[str]:
    """Every reference within a schema."""
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


@cache
def load_spec() -> Spec:
    """The description that this package came with: beside it in a wheel, at the root of a source tree."""
    here = Path(__file__).parent
    path = next(path for path in (here / "openapi.yaml", here.parent / "openapi.yaml") if path.is_file())
    with path.open("rb") as file:
        return Spec(yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
