"""Write `docs/api.md`: every operation and type of the Tinker API, from `openapi.yaml`.

    python scripts/api_reference.py           write the page
    python scripts/api_reference.py --check   fail if the page is not what the spec says

What an operation does and what a member means is said once, in the spec; this script only sets it out for people.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

__all__ = ["PAGE", "main", "page"]

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "openapi.yaml"
PAGE = ROOT / "docs" / "api.md"
METHODS = ("get", "put", "post", "delete", "patch")
EVERYWHERE = frozenset({"400", "401", "402", "403", "404", "413", "415", "422", "429", "500", "503"})
"""Refusals that any operation may answer; the page says them once."""
IDEMPOTENCY_KEY = "X-Idempotency-Key"
HEADER = """# The Tinker API

Written by `make reference` from [`openapi.yaml`](../openapi.yaml), version {version}, which is the law of this
project: the low-level client is generated from it, and the local service takes its routes from it. Most programs need
none of this; [the client](client.md) makes the requests. {count} operations and {types} types.

- Every request has a key or a token in the header `{header}`; a local service may do without.
- Bodies are JSON. Members that are not marked as required may be absent. Where *protobuf* is named, the message of that
  name in `proto/` may be sent instead.
- *Promises X*: the answer is an [`UntypedAPIFuture`](#untypedapifuture) with a `request_id`; `retrieve_future` and
  `retrieve_futures` deliver X.
- `{idempotency}` may go with every POST, PUT and DELETE: the same for each attempt at one request.
- Any operation may refuse, with an [`ErrorResponse`](#errorresponse) and one of the statuses
  {everywhere}. Other statuses are named.
- *Releases* are those of the official SDK that use a thing, where not all do; `>0.25` is some release after 0.25.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write docs/api.md from openapi.yaml.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args(arguments)
    wanted = page(yaml.safe_load(SPEC.read_text(encoding="utf-8")))
    if not options.check:
        PAGE.write_text(wanted, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != wanted:
        print(f"{PAGE.name} is not what the spec says: run make reference", file=sys.stderr)
        return 1
    return 0


def page(spec: Json) -> str:
    """The whole page, in Markdown."""
    by_tag: dict[str, list[tuple[str, str, Json]]] = {tag["name"]: [] for tag in spec["tags"]}
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method in item:
                by_tag[item[method]["tags"][0]].append((method, path, item[method]))
    header = HEADER.format(
        version=spec["info"]["version"],
        count=sum(map(len, by_tag.values())),
        types=len(spec["components"]["schemas"]),
        header=spec["components"]["securitySchemes"]["apiKey"]["name"],
        idempotency=IDEMPOTENCY_KEY,
        everywhere=", ".join(sorted(EVERYWHERE)),
    )
    lines = [header]
    for tag in spec["tags"]:
        lines += [f"## {tag['name'].replace('_', ' ').capitalize()}", "", tag["description"], ""]
        for method, path, operation in by_tag[tag["name"]]:
            lines += _operation(spec, method, path, operation)
    lines += ["## Types", ""]
    for name, schema in spec["components"]["schemas"].items():
        lines += _type(name, schema)
    return "\n".join(lines).rstrip() + "\n"


def _operation(spec: Json, method: str, path: str, operation: Json) -> Iterator[str]:
    yield f"### `{operation['operationId']}`"
    yield ""
    yield f"`{method.upper()} {path}`: {operation['summary']}.{_since(operation)}"
    yield ""
    if operation.get("deprecated"):
        yield "Deprecated."
        yield ""
    if operation.get("description"):
        yield _flat(operation["description"])
        yield ""
    for parameter in operation.get("parameters", ()):
        found = _resolved(spec, parameter)
        if found["name"] == IDEMPOTENCY_KEY:
            continue
        yield f"- {found['in']} `{found['name']}`: {_meaning(found['schema'], found, found.get('required', False))}"
    for kind, media in operation.get("requestBody", {}).get("content", {}).items():
        yield f"- request: {_body(kind, media)}"
    for status, response in operation["responses"].items():
        if status not in EVERYWHERE:
            promised = operation.get("x-future-of") if status.startswith("2") else None
            yield f"- answer {status}: {_answer(_resolved(spec, response), promised)}"
    yield ""


def _answer(response: Json, promised: str | None) -> str:
    told = _flat(response.get("description", ""))
    if promised is not None:
        return f"promises {_linked(promised)}"
    bodies = [_body(kind, media) for kind, media in response.get("content", {}).items()]
    return f"{' or '.join(bodies)}; {told}" if bodies else told


def _body(kind: str, media: Json) -> str:
    if "x-protobuf-message" in media:
        return f"protobuf `{media['x-protobuf-message']}`"
    schema = media.get("schema", {})
    return _shape(schema) if kind == "application/json" else f"`{kind}`"


def _type(name: str, schema: Json) -> Iterator[str]:
    yield f"### `{name}`"
    yield ""
    properties: Mapping[str, Json] = schema.get("properties", {})
    variants = [_shape(each) for each in (*schema.get("oneOf", ()), *schema.get("anyOf", ()))]
    yield f"{_flat(schema['description'])}{_since(schema)}" + (" Deprecated." if schema.get("deprecated") else "")
    yield ""
    if variants:
        yield f"One of {', '.join(variants)}."
        yield ""
    elif not properties:
        yield f"{_shape(schema)}{_limits(schema)}"
        yield ""
    if properties:
        yield "| Member | | |"
        yield "|---|---|---|"
        for member, found in properties.items():
            needed = member in schema.get("required", ())
            yield f"| `{member}` | {_cell(_shape(found))} | {_cell(_notes(found, needed))} |"
        yield ""


def _meaning(schema: Json, holder: Json, needed: bool) -> str:
    told = {**schema, "description": holder.get("description", schema.get("description", ""))}
    return "; ".join(part for part in (_shape(schema), _notes(told, needed)) if part)


def _notes(schema: Json, needed: bool) -> str:
    parts = ["required"] if needed else []
    if "default" in schema:
        parts.append(f"default `{json.dumps(schema['default'])}`")
    if schema.get("deprecated"):
        parts.append("deprecated")
    if schema.get("x-extension"):
        parts.append("added by this project")
    limits = _limits(schema).removeprefix(", ")
    parts += [limits] if limits else []
    told = _flat(schema.get("description", ""))
    text = "; ".join(parts)
    return f"{text}{'. ' if text and told else ''}{told}{_since(schema)}".strip()


def _limits(schema: Json) -> str:
    words = {
        "minimum": "at least",
        "x-minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "x-maximum": "at most",
        "exclusiveMaximum": "below",
        "minLength": "characters at least",
        "maxLength": "characters at most",
        "minItems": "items at least",
        "maxItems": "items at most",
    }
    told = [f"{words[key]} {schema[key]}" for key in words if key in schema]
    if "pattern" in schema:
        told.append(f"matches `{schema['pattern']}`")
    return "".join(f", {each}" for each in told)


def _shape(schema: Json) -> str:
    """What a value is, in a few words, types of the spec as links."""
    if "$ref" in schema:
        return _linked(schema["$ref"].rsplit("/", 1)[1])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(_shape(each) for each in schema[key])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    kinds = schema.get("type", "anything")
    names = [kinds] if isinstance(kinds, str) else list(kinds)
    return " or ".join(_named(name, schema) for name in names)


def _named(name: str, schema: Json) -> str:
    if name == "array" and "prefixItems" in schema:
        return f"list [{', '.join(_shape(each) for each in schema['prefixItems'])}]"
    if name == "array":
        return f"list of {_shape(schema.get('items') or {})}"
    inner = schema.get("additionalProperties")
    if name == "object" and isinstance(inner, dict):
        return f"object of {_shape(inner)}"
    form = schema.get("format")
    return f"{name} ({form})" if form and name != "null" else name


def _linked(name: str) -> str:
    return f"[`{name}`](#{name.lower()})"


def _since(holder: Json) -> str:
    releases = str(holder.get("x-releases", "all"))
    return "" if releases == "all" else f" Releases: {releases}."


def _resolved(spec: Json, found: Json) -> Json:
    while "$ref" in found:
        _, section, name = found["$ref"].rsplit("/", 2)
        found = spec["components"][section][name]
    return found


def _flat(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
