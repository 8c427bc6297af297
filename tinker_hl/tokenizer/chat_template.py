"""Renders a model's chat template (Jinja) in a sandbox, with the names that such templates expect."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.ext import loopcontrols as LoopControls  # a class under an old name
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["render"]


class _GenerationBlock(Extension):
    """`{% generation %}` marks what the assistant says, for masks that are not made here: its content stays."""

    tags = {"generation"}  # noqa: RUF012  # the name and kind that jinja reads

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def render(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool,
    tools: Sequence[Any] | None,
    names: Mapping[str, Any],
) -> str:
    """The text of a conversation.

    Args:
        template: Jinja source.
        messages: `{"role": ..., "content": ...}` each.
        add_generation_prompt: end with what makes the model answer.
        tools: JSON schemas of functions that the model may call.
        names: further names for the template, the special tokens among them.

    Raises:
        ValueError: the template refuses the conversation.
    """
    variables = {**names, "messages": messages, "tools": tools, "add_generation_prompt": add_generation_prompt}
    try:
        return _compiled(template).render(variables)
    except TemplateError as error:
        raise ValueError(f"the chat template refuses this conversation: {error.message}") from error


@lru_cache(maxsize=32)
def _compiled(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, LoopControls]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
    return environment.from_string(template)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Plain JSON; jinja's own filter escapes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)
