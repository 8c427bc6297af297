"""Each rule of the codegen view, on a document small enough to read."""

import copy
from typing import Any

import pytest

from scripts.codegen_view import codegen_view, reachable_schemas

Json = dict[str, Any]


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def document(schemas: Json, *, answer: str = "Answer", request: str | None = None, **operation: Any) -> Json:
    """One operation that answers with the type `answer` and takes the type `request`."""
    content = {"application/json": {"schema": ref(answer), "example": {}}}
    described: Json = {
        "operationId": "act",
        "responses": {"200": {"description": "d", "content": content}},
        **operation,
    }
    if request:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": ref(request)}}}
    return {"openapi": "3.1.0", "paths": {"/act": {"post": described}}, "components": {"schemas": schemas}}


def viewed(schema: Json, *, request: bool = False, **others: Json) -> Json:
    """The view of one type, which is the answer or the request of the only operation."""
    schemas = {"Answer": {"type": "object"}, "Subject": schema, **others}
    view = codegen_view(
        document(schemas, answer="Answer" if request else "Subject", request="Subject" if request else None)
    )
    subject: Json = view["components"]["schemas"]["Subject"]
    return subject


def test_the_spec_itself_stays_as_it_was(spec: Json) -> None:
    before = copy.deepcopy(spec)
    codegen_view(spec)
    assert spec == before


def test_only_success_is_left_of_the_answers() -> None:
    spec = document({"Answer": {"type": "object"}})
    responses = spec["paths"]["/act"]["post"]["responses"]
    responses |= {"302": {"description": "d"}, "404": {"description": "d"}, "default": {"description": "d"}}
    assert list(codegen_view(spec)["paths"]["/act"]["post"]["responses"]) == ["200"]


def test_security_is_left_out() -> None:
    spec = document({"Answer": {"type": "object"}})
    spec |= {"security": [{"apiKey": []}]}
    spec["components"]["securitySchemes"] = {"apiKey": {}}
    view = codegen_view(spec)
    assert "security" not in view
    assert "securitySchemes" not in view["components"]


def test_json_is_the_one_content_type() -> None:
    spec = document({"Answer": {"type": "object"}}, request="Answer")
    body = spec["paths"]["/act"]["post"]["requestBody"]
    body["content"]["application/x-protobuf"] = {"schema": {"type": "string", "format": "binary"}}
    operation = codegen_view(spec)["paths"]["/act"]["post"]
    assert operation["requestBody"]["content"] == {"application/json": {"schema": ref("Answer")}}


def test_the_payload_of_a_poll_is_left_to_the_caller() -> None:
    spec = document({"Answer": {"type": "object"}})
    spec["paths"]["/act"]["post"]["x-future-payload"] = True
    view = codegen_view(spec)
    assert view["paths"]["/act"]["post"]["responses"]["200"]["content"]["application/json"]["schema"] == {}


def test_headers_of_the_transport_are_no_arguments() -> None:
    parameters = [{"$ref": "#/components/parameters/Key"}, {"$ref": "#/components/parameters/Limit"}]
    spec = document({"Answer": {"type": "object"}}, parameters=parameters)
    spec["components"]["parameters"] = {
        "Key": {"name": "k", "in": "header", "schema": {"type": "string"}, "x-transport": True},
        "Limit": {"name": "limit", "in": "query", "schema": {"type": "integer", "default": 20}, "example": 20},
    }
    view = codegen_view(spec)
    assert view["paths"]["/act"]["post"]["parameters"] == parameters[1:]
    assert view["components"]["parameters"]["Limit"]["schema"] == {"type": "integer"}


def test_arrays_of_numbers_are_passed_as_they_are() -> None:
    array = {"type": "array", "items": {"type": "number"}, "x-ndarray": True, "description": "many"}
    assert viewed({"type": "object", "properties": {"data": array}})["properties"]["data"] == {"description": "many"}


def test_lists_that_cannot_be_told_apart_are_passed_as_they_are() -> None:
    lists = [{"type": "array", "items": {"type": kind}} for kind in ("string", "integer")]
    assert "anyOf" not in viewed({"description": "d", "anyOf": lists})
    assert "anyOf" in viewed({"description": "d", "anyOf": [lists[0], {"type": "string"}]})


def test_unknown_members_are_dropped_except_from_maps() -> None:
    assert viewed({"type": "object", "properties": {"a": {"type": "string"}}})["additionalProperties"] is False
    assert viewed({"type": "object", "additionalProperties": {"type": "string"}})["additionalProperties"] == {
        "type": "string"
    }
    assert viewed({"type": "object", "properties": {}, "additionalProperties": True})["additionalProperties"] is True


def test_defaults_are_not_sent_but_tags_are() -> None:
    tag = {"type": "string", "const": "act", "default": "act"}
    rank = {"type": "integer", "default": 32, "minimum": 1, "x-releases": "all"}
    properties = viewed({"type": "object", "properties": {"rank": rank, "type": tag}}, request=True)["properties"]
    assert properties == {"type": tag, "rank": {"type": "integer"}}
    assert next(iter(properties)) == "type"


def test_a_default_beside_a_reference_goes_too() -> None:
    member = {**ref("Kind"), "default": "a", "x-releases": "0.38"}
    kind = {"type": "string", "enum": ["a", "b"]}
    assert viewed({"type": "object", "properties": {"kind": member}}, request=True, Kind=kind)["properties"][
        "kind"
    ] == ref("Kind")


def test_a_constant_that_only_a_server_sends_may_change() -> None:
    schema = {"type": "object", "properties": {"type": {"type": "string", "const": "a", "default": "a"}}}
    assert viewed(schema)["properties"]["type"] == {"type": "string"}
    assert viewed(schema, request=True)["properties"]["type"]["const"] == "a"


@pytest.mark.parametrize("answered", [True, False])
def test_a_union_that_a_server_sends_takes_unknown_kinds_last(*, answered: bool) -> None:
    variant = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"type": "string", "const": "a", "default": "a"}},
    }
    union = {"description": "d", "oneOf": [ref("A")], "discriminator": {"propertyName": "type", "mapping": {"a": "A"}}}
    schemas = {"Answer": {"type": "object"}, "Status": union, "A": variant}
    view = codegen_view(
        document(schemas, answer="Status" if answered else "Answer", request=None if answered else "Status")
    )
    found = view["components"]["schemas"]
    assert found["Status"]["oneOf"] == [ref("A"), *([ref("UnknownStatus")] if answered else [])]
    assert found["A"]["properties"]["type"]["const"] == "a"
    if answered:
        assert found["UnknownStatus"]["additionalProperties"] is True
        assert found["UnknownStatus"]["properties"] == {"type": {"type": "string"}}


def test_a_union_that_is_open_already_gets_no_second_way_out() -> None:
    open_variant = {"type": "object", "properties": {"type": {"type": "string"}}, "additionalProperties": True}
    union = {"description": "d", "oneOf": [ref("Open")], "discriminator": {"propertyName": "type"}}
    assert viewed(union, Open=open_variant)["oneOf"] == [ref("Open")]


def test_members_called_like_keywords_are_members() -> None:
    properties = {"default": {"type": "string"}, "pattern": {"type": "string"}, "x-y": {"type": "string"}}
    assert viewed({"type": "object", "properties": properties})["properties"] == properties


def test_reachable_schemas_follow_references_and_promises() -> None:
    schemas = {
        "Answer": {"type": "object", "properties": {"inner": {"type": "array", "items": ref("Inner")}}},
        "Inner": {"type": "object", "properties": {"again": ref("Answer")}},
        "Later": {"type": "object"},
        "Sent": {"type": "object"},
        "Unused": {"type": "object"},
    }
    spec = document(schemas, request="Sent")
    spec["paths"]["/act"]["post"]["x-future-of"] = "Later"
    assert reachable_schemas(spec, answers=True) == {"Answer", "Inner", "Later"}
    assert reachable_schemas(spec, answers=False) == {"Sent"}
