"""Lint `openapi.yaml`: is it valid OpenAPI 3.1, and does it keep the rules that its readers depend on?

Validity is the work of openapi-spec-validator. The style rules are our own, because each of them guards something that
breaks here: the generator (names it cannot take, objects without a name), the service (an operation without a name for
its handler, an example that its own validator refuses), or the reader. The known style linters run on node and would
add it to a Python project for rules of which few would apply.

    python scripts/lint_spec.py [SPEC]
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent
METHODS = ("get", "put", "post", "delete", "patch")
SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
TYPE_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
# Local variables of generated functions, and classes that generated modules import.
BANNED_PROPERTIES = {"d", "src_dict", "cls", "field_dict", "prop", "prop_name", "prop_dict", "field"}
BANNED_SCHEMAS = {"Client", "Response", "File", "Unset"}
BANNED_TAGS = {"models", "client", "types", "errors"}
REQUIRED_STATUSES = {"401", "500", "503"}
BODY_STATUSES = {"400", "413", "415", "422"}


def main(arguments: Sequence[str]) -> int:
    path = Path(arguments[0]) if arguments else ROOT / "openapi.yaml"
    spec: Json = yaml.safe_load(path.read_text())
    faults = sorted({*validity_faults(spec)}) or [*style_faults(spec)]
    for fault in faults:
        print(f"{path.name}: {fault}", file=sys.stderr)
    return 1 if faults else 0


def validity_faults(spec: Json) -> Iterator[str]:
    """Yield where `spec` is not OpenAPI 3.1."""
    for error in OpenAPIV31SpecValidator(spec).iter_errors():
        yield f"{'.'.join(str(part) for part in error.absolute_path)}: {error.message}"


def style_faults(spec: Json) -> Iterator[str]:
    """Yield each breach of our rules, as `where: what`."""
    yield from operation_faults(spec)
    yield from parameter_faults(spec)
    for name, schema in spec["components"]["schemas"].items():
        yield from schema_faults(name, schema)
    yield from example_faults(spec)
    yield from unused_components(spec)


def operations(spec: Json) -> Iterator[tuple[str, Json]]:
    """Yield each operation with `METHOD path`."""
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def operation_faults(spec: Json) -> Iterator[str]:
    declared = {tag["name"] for tag in spec.get("tags", [])}
    counts = Counter(operation.get("operationId") for _, operation in operations(spec))
    for where, operation in operations(spec):
        identifier = operation.get("operationId", "")
        if not SNAKE_CASE.fullmatch(identifier):
            yield f"{where}: operationId {identifier!r} is not snake_case"
        if counts[identifier] > 1:
            yield f"{where}: operationId {identifier} is used {counts[identifier]} times"
        tags = operation.get("tags", [])
        if len(tags) != 1 or not set(tags) <= declared:
            yield f"{where}: wants exactly one declared tag, has {tags}"
        if set(tags) & BANNED_TAGS or not all(SNAKE_CASE.fullmatch(tag) for tag in tags):
            yield f"{where}: tag {tags} cannot be a module's name"
        if not operation.get("summary") or operation["summary"].endswith("."):
            yield f"{where}: wants a summary without a full stop"
        if "x-releases" not in operation:
            yield f"{where}: wants x-releases"
        yield from response_faults(where, operation)
        if not has_example(spec, operation):
            yield f"{where}: wants an example of its body, its answer or its parameters"


def response_faults(where: str, operation: Json) -> Iterator[str]:
    statuses = set(operation["responses"])
    if not any(status.startswith("2") for status in statuses):
        yield f"{where}: says nothing of success"
    wanted = REQUIRED_STATUSES | (BODY_STATUSES if "requestBody" in operation else set())
    if missing := sorted(wanted - statuses):
        yield f"{where}: errors {', '.join(missing)} are not described"
    for status, response in operation["responses"].items():
        if status.startswith(("4", "5")) and "$ref" not in response:
            yield f"{where}: error {status} wants a shared response"


def has_example(spec: Json, operation: Json) -> bool:
    if any(True for _ in media_examples(operation)):
        return True
    names = [parameter.get("$ref", "").rsplit("/", 1)[-1] for parameter in operation.get("parameters", [])]
    return any("example" in spec["components"]["parameters"].get(name, {}) for name in names)


def media_examples(operation: Json) -> Iterator[tuple[Json, object]]:
    """Yield schema and example of each body that an operation describes in place."""
    for holder in [operation.get("requestBody", {}), *operation["responses"].values()]:
        for media in holder.get("content", {}).values():
            if "example" in media:
                yield media["schema"], media["example"]


def parameter_faults(spec: Json) -> Iterator[str]:
    for where, operation in operations(spec):
        for parameter in operation.get("parameters", []):
            if "$ref" not in parameter:
                yield f"{where}: parameter {parameter.get('name')} wants to be a component"
    for name, parameter in spec["components"].get("parameters", {}).items():
        if not parameter.get("description") or "example" not in parameter:
            yield f"parameter {name}: wants a description and an example"


def schema_faults(name: str, schema: Json) -> Iterator[str]:
    where = f"schema {name}"
    if not TYPE_NAME.fullmatch(name) or name in BANNED_SCHEMAS:
        yield f"{where}: a type of that name cannot be generated"
    if not schema.get("description"):
        yield f"{where}: wants a description"
    properties: Json = schema.get("properties", {})
    for member, value in properties.items():
        if not SNAKE_CASE.fullmatch(member) or member in BANNED_PROPERTIES or member == module_name(name):
            yield f"{where}: a member called {member!r} breaks the generated code"
        yield from inline_faults(f"{where}.{member}", value)
    for member in schema.get("required", []):
        if member not in properties:
            yield f"{where}: requires {member}, which it does not describe"
    if schema.get("deprecated") and "x-releases" not in schema:
        yield f"{where}: deprecated, but x-releases does not say who still uses it"
    values = schema.get("enum", [])
    if len({str(value).lower() for value in values}) < len(values):
        yield f"{where}: values that differ in case alone cannot be told apart"
    if "discriminator" in schema:
        yield from discriminator_faults(where, schema)


def inline_faults(where: str, value: Json) -> Iterator[str]:
    """Objects and enums need a name of their own: the generator would invent one."""
    if "properties" in value or "enum" in value or value.get("type") == "object":
        yield f"{where}: wants a named component"
    for inner in [value.get("items"), *value.get("anyOf", []), *value.get("oneOf", [])]:
        if isinstance(inner, dict):
            yield from inline_faults(where, inner)


def discriminator_faults(where: str, schema: Json) -> Iterator[str]:
    mapped = set(schema["discriminator"].get("mapping", {}).values())
    variants = [variant.get("$ref") for variant in schema.get("oneOf", [])]
    if not variants or not mapped <= set(variants):
        yield f"{where}: the discriminator maps to what is no variant"


def module_name(name: str) -> str:
    """Return the module that the generator gives a class (`LoraConfig` -> `lora_config`)."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def example_faults(spec: Json) -> Iterator[str]:
    """Hold each example against its schema, as the service holds each request."""
    places = [(where, media) for where, operation in operations(spec) for media in media_examples(operation)]
    for name, response in spec["components"].get("responses", {}).items():
        places += [(f"response {name}", media) for media in media_examples({"responses": {"": response}})]
    for where, (schema, example) in places:
        validator = jsonschema_rs.Draft202012Validator({**schema, "components": spec["components"]})
        for error in validator.iter_errors(example):
            at = "/".join(str(part) for part in error.instance_path)
            yield f"{where}: its example does not fit: {at or 'body'}: {error.message}"


def unused_components(spec: Json) -> Iterator[str]:
    """Yield parameters, responses and headers that nothing refers to. A schema may stand for documentation alone."""
    used = set(re.findall(r"#/components/(\w+/[\w-]+)", repr(spec)))
    for section in ("parameters", "responses", "headers"):
        for name in spec["components"].get(section, {}):
            if f"{section}/{name}" not in used:
                yield f"{section}: {name} is not used"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
