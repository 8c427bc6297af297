"""A conversation with one model: what was said, as tokens, and the next answer in pieces as it is drawn.

The protocol answers a whole sample at a time, so an answer is asked for in pieces that grow: each goes on from the
tokens before it, which are read anew. It knows nothing of the terminal.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

import attrs

from tinker_hl.types import ModelInput, SampleResponse, SamplingParams

if TYPE_CHECKING:
    from tinker_hl import SamplingClient
    from tinker_hl.tokenizer import Tokenizer

__all__ = ["Conversation", "Message"]

Message = dict[str, str]
FIRST_PIECE: Final = 8
LARGEST_PIECE: Final = 64
"""Tokens: from one piece to the next they double, so that a long answer is read anew only now and then."""
_MARK: Final = "\ue000"
_INCOMPLETE: Final = "�"
"""What a tokenizer makes of half a letter."""
_ROLES: Final = {"system": "System", "user": "User", "assistant": "Assistant"}
PLAIN_END: Final = "\nUser:"
"""Ends an answer where the tokenizer has no chat template, and turns are plain lines."""


@attrs.define
class Conversation:
    """Invariant: `messages` ends with an answer, or is what it was before a question that failed.

    Args:
        name: Of the model, for people.
        sampler: Draws.
        tokenizer: The model's.
        settings: How to draw; its `max_tokens` bounds an answer, its `stop` is this class's own.
        system: The first message, if any.
        wait: Gives the result of a call.
        in_pieces: Whether an answer is asked for in pieces.
    """

    name: str
    sampler: "SamplingClient"
    tokenizer: "Tokenizer"
    settings: SamplingParams
    wait: Callable[["Future[SampleResponse]"], SampleResponse]
    system: str | None = None
    in_pieces: bool = True
    messages: list[Message] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.messages = [{"role": "system", "content": self.system}] if self.system else []

    @property
    def has_template(self) -> bool:
        """Whether the model's own chat template is used, and no plain lines."""
        return bool(self.tokenizer.chat_template)

    def reply(self, question: str) -> Iterator[str]:
        """Ask, and give the answer's text piece by piece. What was given when it ends or is left counts as said."""
        asked: Message = {"role": "user", "content": question}
        prompt = self._tokens([*self.messages, asked])
        said = ""
        complete = False
        try:
            for said_so_far in self._drawn(prompt):
                piece, said = said_so_far[len(said) :], said_so_far
                yield piece
            complete = True
        finally:
            if complete or said:
                self.messages += [asked, {"role": "assistant", "content": said.strip()}]

    def _drawn(self, prompt: Sequence[int]) -> Iterator[str]:
        """All of the answer's text, again and again, each time longer."""
        limit = self.settings.max_tokens or LARGEST_PIECE
        size = FIRST_PIECE if self.in_pieces else limit
        answer: list[int] = []
        while True:
            size = min(size, limit - len(answer))
            params = attrs.evolve(self.settings, max_tokens=size, stop=self._stops(), seed=self._seed(len(answer)))
            drawn = self.wait(self.sampler.sample(ModelInput.from_ints([*prompt, *answer]), 1, params)).sequences[0]
            answer += drawn.tokens
            text: str = self.tokenizer.decode(answer, skip_special_tokens=True)
            ended = drawn.stop_reason == "stop" or len(answer) >= limit or not drawn.tokens
            if not self.has_template and PLAIN_END in text:
                text, ended = text.partition(PLAIN_END)[0], True
            yield text if ended else self._certain(text)
            if ended:
                return
            size = min(2 * size, LARGEST_PIECE)

    def _certain(self, text: str) -> str:
        """Without an end that the next token may still change."""
        text = text.rstrip(_INCOMPLETE)
        if not self.has_template:
            for length in range(len(PLAIN_END) - 1, 0, -1):
                if text.endswith(PLAIN_END[:length]):
                    return text[:-length]
        return text

    def _tokens(self, messages: Sequence[Message]) -> list[int]:
        if self.has_template:
            tokens: list[int] = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True)
            return tokens
        lines = [f"{_ROLES[message['role']]}: {message['content']}\n" for message in messages]
        encoded: list[int] = self.tokenizer.encode("".join(lines) + "Assistant:")
        return encoded

    def _stops(self) -> list[int] | None:
        """The model's end of text, and what its template puts behind an answer; None leaves it to the server."""
        ends = {self.tokenizer.eos_token_id, self._end_of_turn()} - {None}
        return sorted(end for end in ends if end is not None) or None

    def _end_of_turn(self) -> int | None:
        if not self.has_template:
            return None
        said: list[Any] = [{"role": "user", "content": _MARK}, {"role": "assistant", "content": _MARK}]
        behind = self.tokenizer.apply_chat_template(said, tokenize=False).rpartition(_MARK)[2]
        tokens = self.tokenizer.encode(behind, add_special_tokens=False)
        return next((token for token in tokens if token in self.tokenizer.all_special_ids), None)

    def _seed(self, drawn: int) -> int | None:
        # The same seed for each piece would draw the same noise again.
        return None if self.settings.seed is None else self.settings.seed + drawn
