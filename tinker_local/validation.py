"""Requests against the spec: checked, with the spec's defaults filled in; a refusal names the field.

Schemas are compiled once, by jsonschema-rs. It does not know what an operation does, nor protobuf bodies.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
from jsonschema_rs import Draft202012Validator, ValidationError, ValidationErrorKind

from tinker_local.errors import ApiError, invalid
from tinker_local.spec import Operation, Parameter, Schema, Spec

__all__ = ["Validation"]

_MOST_FAULTS = 20
_INT64 = 2**63
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


class Validation:
    """The compiled checks of one spec."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._bodies = {op.body: self._compiled(spec.schema(op.body)) for op in spec.operations if op.body}
        self._plans = {name: self._plan(spec.schema(name)) for name in self._bodies}
        self._parameters = {
            (op.operation_id, parameter.name): self._compiled(parameter.schema)
            for op in spec.operations
            for parameter in op.parameters
        }

    def body(self, operation: Operation, value: Any) -> dict[str, Any]:
        """A parsed JSON body, which must be its operation's, with defaults filled in (`value` itself is changed).

        Raises:
            ApiError: 422 with one item for each fault, up to 20.
        """
        assert operation.body is not None
        checks = self._bodies[operation.body]
        if not checks.is_valid(value):
            faults = _listed(checks.iter_errors(value), ("body",))
            raise ApiError(422, "invalid_request", faults)
        body: dict[str, Any] = value
        self._plans[operation.body].complete(body, ("body",))
        return body

    def parameters(self, operation: Operation, path: Mapping[str, str], query: Mapping[str, str]) -> dict[str, Any]:
        """The parameters of a path and a query by name, converted, with defaults; unknown ones are ignored.

        Raises:
            ApiError: 422, naming the parameter.
        """
        given = {"path": path, "query": query}
        return {p.name: self._parameter(operation, p, given[p.location].get(p.name)) for p in operation.parameters}

    def _compiled(self, schema: Schema) -> Draft202012Validator:
        return Draft202012Validator(self._spec.standalone(schema), validate_formats=True, mask="the value")

    def _parameter(self, operation: Operation, parameter: Parameter, text: str | None) -> Any:
        loc = (parameter.location, parameter.name)
        if text is None:
            if parameter.required:
                raise invalid(loc, "it is missing", "required")
            return parameter.default
        value = _converted(text, parameter.schema.get("type"), loc)
        faults = _listed(self._parameters[operation.operation_id, parameter.name].iter_errors(value), loc)
        if faults:
            raise ApiError(422, "invalid_request", faults)
        return value

    def _plan(self, schema: Schema) -> "_Plan":
        """What to fill in, member by member; schemas do not change, so this is worked out once."""
        members = {name: self._plain(node) for name, node in schema.get("properties", {}).items()}
        return _Plan(
            defaults={name: member["default"] for name, member in members.items() if "default" in member},
            integers=tuple(name for name, member in members.items() if _is_integer(member)),
            inner={name: self._plan(member) for name, member in members.items() if "properties" in member},
        )

    def _plain(self, node: Schema) -> Schema:
        """The one schema that a member has apart from null; a real choice of several is left as it is."""
        node = self._spec.resolve(node)
        options = [self._spec.resolve(option) for option in node.get("anyOf", ())]
        options = [option for option in options if option.get("type") != "null"]
        return {**options[0], **node} if len(options) == 1 else node


@attrs.frozen
class _Plan:
    """How a body of one schema is completed: defaults filled in, whole numbers made integers, in objects in objects.

    Lists are left as they are. JSON Schema takes 2.0 for an integer; the code behind should not have to.
    """

    defaults: Mapping[str, Any]
    integers: tuple[str, ...]
    inner: Mapping[str, "_Plan"]

    def complete(self, value: dict[str, Any], loc: tuple[str | int, ...]) -> None:
        """Change `value`, which fits the schema. Raises `ApiError` 422 for a number beyond 64 bits."""
        for name, default in self.defaults.items():
            value.setdefault(name, default)
        for name in self.integers:
            if isinstance(value.get(name), int | float):
                value[name] = _integer(value[name], (*loc, name))
        for name, plan in self.inner.items():
            if isinstance(value.get(name), dict):
                plan.complete(value[name], (*loc, name))


def _is_integer(schema: Schema) -> bool:
    kind = schema.get("type")
    return kind == "integer" or (isinstance(kind, list) and "integer" in kind and "number" not in kind)


def _integer(value: float, loc: Sequence[str | int]) -> int:
    if not -_INT64 <= value < _INT64:
        raise invalid(loc, "it is beyond 64 bits", "maximum")
    return int(value)


def _converted(text: str, kind: Any, loc: Sequence[str | int]) -> Any:
    if kind == "integer":
        try:
            return _integer(int(text), loc)
        except ValueError:
            raise invalid(loc, f"{text[:40]!r} is no integer", "type") from None
    if kind == "boolean":
        return _TRUTHS.get(text.lower(), text)
    return text


def _listed(errors: Iterable[ValidationError], prefix: tuple[str, ...]) -> list[dict[str, Any]]:
    faults = []
    for error in errors:
        innermost = _innermost(error)
        loc = [*prefix, *error.instance_path, *_below(error, innermost), *_member(innermost)]
        faults.append({"loc": loc, "msg": innermost.message, "type": innermost.kind.name})
        if len(faults) == _MOST_FAULTS:
            break
    return faults


def _innermost(error: ValidationError) -> ValidationError:
    """Inside a choice of schemas the fault of the branch that got furthest: what the sender most likely meant."""
    if not isinstance(error.kind, ValidationErrorKind.AnyOf | ValidationErrorKind.OneOfNotValid):
        return error
    branches = [_innermost(branch[0]) for branch in error.kind.context if branch]
    meant = [branch for branch in branches if _depth(branch, error) > 0 or not _is_null(branch)]
    return max(meant, key=lambda branch: _depth(branch, error), default=error)


def _depth(branch: ValidationError, error: ValidationError) -> float:
    depth = len(branch.instance_path) - len(error.instance_path)
    # A member that a branch does not know tells of the wrong branch, a wrong constant too.
    wrong = isinstance(branch.kind, ValidationErrorKind.AdditionalProperties | ValidationErrorKind.Constant)
    return depth - 0.5 if wrong else depth + (0.5 if isinstance(branch.kind, ValidationErrorKind.Required) else 0)


def _is_null(branch: ValidationError) -> bool:
    return isinstance(branch.kind, ValidationErrorKind.Type) and branch.kind.types == ["null"]


def _below(error: ValidationError, innermost: ValidationError) -> Sequence[str | int]:
    outer, inner = list(error.instance_path), list(innermost.instance_path)
    return inner[len(outer) :] if inner[: len(outer)] == outer else inner


def _member(error: ValidationError) -> Sequence[str]:
    if isinstance(error.kind, ValidationErrorKind.Required):
        return [error.kind.property]
    if isinstance(error.kind, ValidationErrorKind.AdditionalProperties):
        return error.kind.unexpected[:1]
    return []
