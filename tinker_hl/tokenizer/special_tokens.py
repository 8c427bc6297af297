"""A tokenizer's special tokens: those with a name (`bos_token`, `pad_token`, ...), and those that only are special.

It knows the settings and the backend's vocabulary, nothing of texts.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tinker_hl.tokenizer.backend import Backend

__all__ = ["NAMES", "SpecialTokens", "content", "items"]

NAMES: Final = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class _Text:
    """`tokenizer.bos_token`: the token's text, or None. Setting it puts the token into the vocabulary."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, tokens: "SpecialTokens | None", owner: type) -> "str | _Text | None":
        return self if tokens is None else tokens.special_tokens_map.get(self._name)

    def __set__(self, tokens: "SpecialTokens", text: str | None) -> None:
        tokens.set_special(self._name, text)


class _Id:
    """`tokenizer.bos_token_id`: the token's id, or None."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, tokens: "SpecialTokens | None", owner: type) -> "int | _Id | None":
        if tokens is None:
            return self
        text = tokens.special_tokens_map.get(self._name)
        return None if text is None else tokens.backend_tokenizer.token_to_id(text)

    def __set__(self, tokens: "SpecialTokens", token_id: int | None) -> None:
        text = None if token_id is None else tokens.backend_tokenizer.id_to_token(token_id)
        if token_id is not None and text is None:
            raise ValueError(f"{self._name}_id: the vocabulary has no token {token_id}")
        tokens.set_special(self._name, text)


class SpecialTokens:
    """Invariant: each special token is in the vocabulary.

    Args:
        backend: whose vocabulary it is.
        settings: what `tokenizer_config.json` says.
    """

    bos_token: str | None
    """Begins a text."""
    eos_token: str | None
    """Ends a text."""
    unk_token: str | None
    """Stands for what the vocabulary does not have."""
    sep_token: str | None
    """Stands between two texts."""
    pad_token: str | None
    """Fills a row."""
    cls_token: str | None
    """Stands for the whole text."""
    mask_token: str | None
    """Stands for what is to be guessed."""
    bos_token_id: int | None
    eos_token_id: int | None
    unk_token_id: int | None
    sep_token_id: int | None
    pad_token_id: int | None
    cls_token_id: int | None
    mask_token_id: int | None

    def __init__(self, backend: "Backend", settings: Mapping[str, Any]) -> None:
        self.backend_tokenizer = backend
        self.special_tokens_map: dict[str, str] = {
            name: text for name in NAMES if (text := content(settings.get(name))) is not None
        }
        more = [*items(settings.get("additional_special_tokens")), *items(settings.get("extra_special_tokens"))]
        self.additional_special_tokens = [text for token in more if (text := content(token)) is not None]
        """Special ones without a name of their own."""
        self._add_missing()

    @property
    def all_special_tokens(self) -> list[str]:
        """Each special token once."""
        return list(dict.fromkeys([*self.special_tokens_map.values(), *self.additional_special_tokens]))

    @property
    def all_special_ids(self) -> list[int]:
        """Their ids."""
        ids = (self.backend_tokenizer.token_to_id(text) for text in self.all_special_tokens)
        return [token_id for token_id in ids if token_id is not None]

    def set_special(self, name: str, token: str | None) -> None:
        """What `tokenizer.pad_token = tokenizer.eos_token` does; None takes the name away."""
        if token is None:
            self.special_tokens_map.pop(name, None)
            return
        self.special_tokens_map[name] = token
        self._add_missing()

    def add_special_tokens(self, special_tokens_dict: Mapping[str, Any]) -> int:
        """Name special tokens, `{"pad_token": "<pad>", "additional_special_tokens": [...]}`; those that are new join
        the vocabulary.

        Returns:
            How many were new: a model has to be resized by as many rows.

        Raises:
            ValueError: a name that no special token has.
        """
        before = self.backend_tokenizer.get_vocab_size(with_added_tokens=True)
        for name, token in special_tokens_dict.items():
            if name in NAMES:
                self.special_tokens_map[name] = str(content(token) or token)
            elif name in ("additional_special_tokens", "extra_special_tokens"):
                texts = [str(content(one) or one) for one in items(token)]
                self.additional_special_tokens = list(dict.fromkeys([*self.additional_special_tokens, *texts]))
            else:
                raise ValueError(
                    f"{name} is no special token; these are: {', '.join(NAMES)}, additional_special_tokens"
                )
        self._add_missing()
        return self.backend_tokenizer.get_vocab_size(with_added_tokens=True) - before

    def _add_missing(self) -> None:
        """As transformers does with a token of the settings that the vocabulary has not."""
        missing = [text for text in self.all_special_tokens if self.backend_tokenizer.token_to_id(text) is None]
        if missing:
            from tokenizers import AddedToken

            self.backend_tokenizer.add_special_tokens([AddedToken(text, special=True) for text in missing])
            self.vocabulary_changed()

    def vocabulary_changed(self) -> None:
        """Called when tokens were added."""


for _name in NAMES:
    # Set and not written in the class: its annotations are what type checkers read, who see no protocol in descriptors.
    setattr(SpecialTokens, _name, _Text(_name))
    setattr(SpecialTokens, f"{_name}_id", _Id(_name))


def content(token: Any) -> str | None:
    """A special token's text: the settings have it bare, or with how it is to be matched."""
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) else getattr(token, "content", None)


def items(value: Any) -> list[Any]:
    """The values of a list or a mapping of the settings; none of anything else."""
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else []
