"""The codegen view: what the generator is shown of the canonical spec.

A pure function from document to document. openapi-python-client misreads or drops some of what a good OpenAPI document
says, and a client must be more forgiving than a server's validator; each rule below bends one of the two. The view is
never stored or edited: whoever wants a change changes the spec or a rule.

This module knows nothing of files, of the generator's command line or of the Tinker API's own names.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["codegen_view", "reachable_schemas"]

Json = dict[str, Any]
METHODS = ("get", "put", "post", "delete", "patch")
SCHEMAS = "#/components/schemas/"
# What the generator does not use, and would in part choke on.
DROPPED_KEYWORDS = frozenset(
    {"contentEncoding", "discriminator", "examples", "not", "pattern", "minimum", "maximum", "exclusiveMaximum"}
    | {"exclusiveMinimum", "minLength", "maxLength", "minItems", "maxItems", "deprecated"}
)


def codegen_view(spec: Json) -> Json:
    """Return the document that the generator reads; `spec` stays as it was."""
    view = copy.deepcopy(spec)
    view.pop("security", None)
    view["components"].pop("securitySchemes", None)
    answered = reachable_schemas(view, answers=True)
    sent = reachable_schemas(view, answers=False)
    for operation in _operations(view):
        _keep_success_alone(operation)
        _keep_one_content_type(operation)
        _leave_payload_to_caller(operation)
        _drop_transport_parameters(operation, view)
    for parameter in view["components"].get("parameters", {}).values():
        parameter["schema"] = _resolved(parameter["schema"])
        parameter["schema"].pop("default", None)
        parameter.pop("example", None)
    view["components"].pop("responses", None)
    view["components"].pop("headers", None)
    schemas: Json = view["components"]["schemas"]
    _open_unions(schemas, answered)
    tags = _union_members(schemas)
    for name, schema in schemas.items():
        _close_object(schema)
        _tag_first(schema)
        if name in answered and name not in sent | tags:
            _loosen_constants(schema)
        schemas[name] = _plain(schema)
    return view


def reachable_schemas(spec: Json, *, answers: bool) -> set[str]:
    """Return the names of schemas that an answer (or, where `answers` is false, a request) can hold.

    The payload of a promise, which `x-future-of` names, is an answer. Error answers count for neither.
    """
    names: set[str] = set()
    for operation in _operations(spec):
        if answers:
            successes = [response for status, response in operation["responses"].items() if status.startswith("2")]
            _collect(spec, successes, names)
            if "x-future-of" in operation:
                _collect(spec, {"$ref": SCHEMAS + operation["x-future-of"]}, names)
        else:
            _collect(spec, [operation.get("requestBody"), operation.get("parameters")], names)
    return names


def _operations(spec: Json) -> Iterator[Json]:
    for path in spec["paths"].values():
        for method in METHODS:
            if method in path:
                yield path[method]


def _collect(spec: Json, node: object, names: set[str]) -> None:
    for reference in _references(node):
        section, name = reference.removeprefix("#/components/").split("/")
        if section == "schemas":
            if name in names:
                continue
            names.add(name)
        _collect(spec, spec["components"][section][name], names)


def _references(node: object) -> Iterator[str]:
    """Yield each `$ref` below `node`. A discriminator's mapping holds plain strings, so it is not among them."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _keep_success_alone(operation: Json) -> None:
    """Errors become exceptions below the generated code, which would parse a proxy's HTML as an error model.

    A redirect is left to whoever reads the detailed response: beside a typed 200 it would turn the result into Any.
    """
    operation["responses"] = {k: v for k, v in operation["responses"].items() if k.startswith("2")}


def _keep_one_content_type(operation: Json) -> None:
    """Two content types of one body make the generator write code that does not import; tensors go round it anyway."""
    for holder in [*operation["responses"].values(), operation.get("requestBody", {})]:
        json_body = holder.get("content", {}).get("application/json")
        if json_body:
            holder["content"] = {"application/json": {"schema": json_body["schema"]}}


def _leave_payload_to_caller(operation: Json) -> None:
    """Many payloads fit the answer of a poll, and only who asked knows which one it is: `{}` is Any."""
    if operation.get("x-future-payload"):
        for response in operation["responses"].values():
            response["content"]["application/json"]["schema"] = {}


def _drop_transport_parameters(operation: Json, view: Json) -> None:
    kept = []
    for parameter in operation.get("parameters", []):
        found = parameter
        if "$ref" in parameter:
            found = view["components"]["parameters"][parameter["$ref"].rsplit("/", 1)[1]]
        if not found.get("x-transport"):
            kept.append(parameter)
    operation.pop("parameters", None)
    if kept:
        operation["parameters"] = kept


def _open_unions(schemas: Json, answered: set[str]) -> None:
    """Give each tagged union that a server sends one variant more, last, which takes any tag and keeps every member.

    The generator tries variants in order, so a tag that a newer server invented lands there.
    """
    for name in sorted(answered):
        schema = schemas[name]
        if "discriminator" not in schema:
            continue
        tag = schema["discriminator"]["propertyName"]
        variants = [variant["$ref"].removeprefix(SCHEMAS) for variant in schema["oneOf"]]
        if any("const" not in schemas[variant]["properties"][tag] for variant in variants):
            continue
        unknown = f"Unknown{name}"
        schemas[unknown] = {
            "type": "object",
            "description": f"A {name} of a kind that this client does not know.",
            "required": [tag],
            "properties": {tag: {"type": "string"}},
            "additionalProperties": True,
        }
        schema["oneOf"].append({"$ref": SCHEMAS + unknown})


def _union_members(schemas: Json) -> set[str]:
    """Return the schemas that some union holds: their constants tell them apart and stay."""
    members: set[str] = set()
    for schema in schemas.values():
        for variant in [*schema.get("oneOf", []), *schema.get("anyOf", [])]:
            if "discriminator" in schema and "$ref" in variant:
                members.add(variant["$ref"].removeprefix(SCHEMAS))
    return members


def _close_object(schema: Json) -> None:
    """Members that nobody declared are dropped when read, instead of being kept and sent back. Maps stay open."""
    if schema.get("type") == "object" and "additionalProperties" not in schema:
        schema["additionalProperties"] = False


def _tag_first(schema: Json) -> None:
    """Put constants first: the generator tries variants by building them, and a wrong tag then fails at once."""
    properties = schema.get("properties", {})
    if properties:
        schema["properties"] = dict(sorted(properties.items(), key=lambda item: "const" not in item[1]))


def _loosen_constants(schema: Json) -> None:
    """A constant that a server sends and nobody needs is not worth an exception when it changes."""
    for member in schema.get("properties", {}).values():
        if isinstance(member.get("const"), str):
            member.pop("const")
            member.pop("default", None)


def _plain(schema: Any) -> Any:
    """Strip, all the way down, what the generator cannot use or would act on wrongly.

    Defaults go because a generated class would send them; constants keep theirs, so that nobody has to pass a tag.
    """
    return _mapped(schema, _plain_node)


def _plain_node(node: Json) -> Json:
    if node.get("x-ndarray") or _is_union_of_arrays(node):
        return {k: v for k, v in node.items() if k == "description"}
    if "$ref" in node:
        return _resolved(node)
    plain = {k: v for k, v in node.items() if k not in DROPPED_KEYWORDS and not k.startswith("x-")}
    if "default" in plain and "const" not in plain:
        del plain["default"]
    return plain


def _is_union_of_arrays(node: Json) -> bool:
    """Tell whether two variants are lists, which generated code would tell apart by `isinstance(..., list)` alone."""
    lists = [variant for variant in node.get("anyOf", []) if variant.get("type") == "array"]
    return len(lists) > 1


def _resolved(node: Json) -> Json:
    """Drop what stands beside a `$ref`, which the generator would take for a schema of its own."""
    return {"$ref": node["$ref"]} if "$ref" in node else dict(node)


def _mapped(node: Any, change: Callable[[Json], Json], *, names: bool = False) -> Any:
    """Apply `change` to each schema below `node`; `names` says that the keys here are members' names, not keywords."""
    if isinstance(node, dict):
        changed = node if names else change(node)
        return {k: _mapped(v, change, names=not names and k == "properties") for k, v in changed.items()}
    if isinstance(node, list):
        return [_mapped(item, change) for item in node]
    return node
