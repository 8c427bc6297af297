"""Ending a rendered conversation within its last message, so that a model goes on with it (`continue_final_message`).

A mark is put behind the message before the template sees it, and the text is cut there: what a template adds to the end
of a message is its own affair. The mark ends in a space, whose absence tells that the template trims messages.
"""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cut", "marked"]

_MARK = "\ue000TO BE CONTINUED\ue000 "
"""Private code points, which no text has."""


def marked(conversation: Sequence[Any]) -> list[Any]:
    """The conversation with the mark behind the text of its last message, which is a copy.

    Raises:
        ValueError: there is no message, or no text in the last one.
    """
    if not conversation:
        raise ValueError("continue_final_message: the conversation is empty")
    *before, last = conversation
    content = last.get("content")
    if isinstance(content, str):
        return [*before, {**last, "content": content + _MARK}]
    blocks: list[Any] = list(content or ())
    for place in reversed(range(len(blocks))):
        block = blocks[place]
        if isinstance(block, Mapping) and isinstance(block.get("text"), str):
            blocks[place] = {**block, "text": block["text"] + _MARK}
            return [*before, {**last, "content": blocks}]
    raise ValueError("continue_final_message: the last message has no text to go on with")


def cut(text: str) -> str:
    """What a template made of a marked conversation, up to the mark.

    Raises:
        ValueError: the template left the last message out.
    """
    place = text.rfind(_MARK.strip())
    if place < 0:
        raise ValueError("continue_final_message: the chat template leaves the text of the last message out")
    kept = text[:place]
    return kept if text[place : place + len(_MARK)] == _MARK else kept.rstrip()
