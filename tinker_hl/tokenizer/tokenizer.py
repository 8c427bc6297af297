"""A tokenizer with the methods that research code calls, on the `tokenizers` library.

It does what transformers' fast tokenizer does with the same files: same ids, same text. It knows nothing of where its
files came from.
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, overload

from tinker_hl.errors import ConfigurationError
from tinker_hl.tokenizer.backend import Backend
from tinker_hl.tokenizer.continuation import cut, marked
from tinker_hl.tokenizer.encoding import Encoding, as_tensors, pad_rows, row_length
from tinker_hl.tokenizer.files import settings_of, write
from tinker_hl.tokenizer.special_tokens import SpecialTokens, items

__all__ = ["Encoding", "Tokenizer"]

TYPE_IDS_CLASSES: Final = frozenset(
    {"BertTokenizer", "BertJapaneseTokenizer", "DebertaTokenizer", "DebertaV2Tokenizer", "RoFormerTokenizer"}
)
"""Classes of transformers whose models read `token_type_ids`, where the settings do not say what a model reads."""
SPACES: Final = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")
"""What loses its spaces where `clean_up_tokenization_spaces` is on, in this order."""


class Tokenizer(SpecialTokens):
    """Text to token ids and back."""

    is_fast: Final = True

    def __init__(self, backend: Backend, settings: Mapping[str, Any] | None = None, name_or_path: str = "") -> None:
        """Wrap a loaded tokenizer.

        Args:
            backend: a `tokenizers.Tokenizer`, or what is like one; its padding and truncation are switched off.
            settings: what `tokenizer_config.json` says.
            name_or_path: for the user to read.
        """
        backend.no_padding()
        backend.no_truncation()
        self.name_or_path = name_or_path
        self.init_kwargs = dict(settings or {})
        self.chat_template: Any = self.init_kwargs.get("chat_template")
        self.model_max_length = int(self.init_kwargs.get("model_max_length") or 10**30)
        self.model_input_names = _model_input_names(self.init_kwargs)
        self.clean_up_tokenization_spaces = bool(self.init_kwargs.get("clean_up_tokenization_spaces"))
        self.padding_side: Literal["left", "right"] = _side(self.init_kwargs.get("padding_side"))
        self.truncation_side: Literal["left", "right"] = _side(self.init_kwargs.get("truncation_side"))
        self._cutting: tuple[Any, Backend] | None = None
        super().__init__(backend, self.init_kwargs)

    @classmethod
    def from_files(cls, name: str, files: Mapping[str, Path]) -> "Tokenizer":
        """Read `tokenizer.json` and what stands beside it. Raises `ConfigurationError` if a file is broken."""
        import tokenizers

        try:
            backend = tokenizers.Tokenizer.from_file(str(files["tokenizer.json"]))
        except Exception as error:  # the library raises bare `Exception`
            raise ConfigurationError(f"the tokenizer.json of {name} cannot be read: {error}") from error
        return cls(backend, settings_of(files), name)

    def save_pretrained(self, save_directory: str | Path) -> tuple[str, ...]:
        """Write the files that this tokenizer, or transformers, is made from.

        Returns:
            Their paths.
        """
        settings = {**self.init_kwargs, **self.special_tokens_map, "padding_side": self.padding_side}
        if self.additional_special_tokens:
            settings["additional_special_tokens"] = self.additional_special_tokens
        return write(Path(save_directory), self.backend_tokenizer, settings, self.chat_template)

    def encode(self, text: str, text_pair: str | None = None, add_special_tokens: bool = True, **options: Any) -> Any:
        """Token ids of a text: a list, or an array with `return_tensors`.

        Args:
            text: any text.
            text_pair: a second one, joined as the tokenizer joins pairs.
            add_special_tokens: put what the tokenizer puts around a text, such as a token for its beginning.
            options: `padding`, `truncation`, `max_length`, `return_tensors`, as in a call of the tokenizer.
        """
        if options:
            return self(text, text_pair, add_special_tokens, **options)["input_ids"]
        ids: list[int] = self.backend_tokenizer.encode(text, text_pair, add_special_tokens=add_special_tokens).ids
        return ids

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **_ignored: Any,
    ) -> str:
        """The text of token ids: one id, a list, a numpy array or a torch tensor.

        Args:
            token_ids: of the vocabulary.
            skip_special_tokens: leave special tokens out.
            clean_up_tokenization_spaces: take the spaces before punctuation away; None is what the settings say. The
                spaces of byte-pair tokenizers are the text's own, and stay.
        """
        text = self.backend_tokenizer.decode(_ids(token_ids), skip_special_tokens=skip_special_tokens)
        wanted = self.clean_up_tokenization_spaces
        if clean_up_tokenization_spaces is not None:
            wanted = clean_up_tokenization_spaces
        if wanted and type(getattr(self.backend_tokenizer, "model", None)).__name__ in (
            "WordPiece",
            "Unigram",
            "WordLevel",
        ):
            for spaced in SPACES:
                text = text.replace(spaced, spaced.strip())
        return text

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **_ignored: Any,
    ) -> list[str]:
        """One text a sequence of token ids."""
        return [self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces) for ids in sequences]

    def __call__(
        self,
        text: str | Sequence[str],
        text_pair: str | Sequence[str] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = False,
        max_length: int | None = None,
        *,
        pad_to_multiple_of: int | None = None,
        padding_side: Literal["left", "right"] | None = None,
        return_tensors: str | None = None,
        return_attention_mask: bool = True,
        return_token_type_ids: bool | None = None,
        return_offsets_mapping: bool = False,
        return_special_tokens_mask: bool = False,
        return_length: bool = False,
    ) -> Encoding:
        """Ids and masks of a text, or of several.

        Args:
            text: a text or a list of texts.
            text_pair: second ones, joined as the tokenizer joins pairs.
            add_special_tokens: put what the tokenizer puts around a text.
            padding: True or `"longest"` fills rows up to the longest, `"max_length"` to `max_length`.
            truncation: cut the texts so that a row has at most `max_length` tokens, special ones included; of a pair
                the longer text (True or `"longest_first"`), or `"only_first"`, `"only_second"`.
            max_length: tokens; None is `model_max_length` when there is one.
            pad_to_multiple_of: rows are filled up to a multiple of it.
            padding_side: None is the tokenizer's.
            return_tensors: `"np"` or `"pt"` gives int64 arrays [texts, tokens], of one row for one text.
            return_attention_mask: 1 for a token, 0 for filling.
            return_token_type_ids: 0 for the first text, 1 for the second; None gives them where the model reads them.
            return_offsets_mapping: characters of the text that each token stands for, as (start, end).
            return_special_tokens_mask: 1 for a token that was put around the text.
            return_length: tokens of each row, a list also for one text.

        Raises:
            ValueError: padding without a padding token, rows that make no array, an option out of range.
        """
        texts = [text] if isinstance(text, str) else list(text)
        pairs = [text_pair] if isinstance(text_pair, str) else text_pair
        limit = max_length if max_length is not None else self._own_limit()
        inputs: Any = texts if pairs is None else list(zip(texts, pairs, strict=True))
        encoded = self._truncating(truncation, limit).encode_batch(inputs, add_special_tokens=add_special_tokens)
        columns: dict[str, list[list[Any]]] = {"input_ids": [one.ids for one in encoded]}
        by_model = "token_type_ids" in self.model_input_names
        if by_model if return_token_type_ids is None else return_token_type_ids:
            columns["token_type_ids"] = [one.type_ids for one in encoded]
        if return_attention_mask:
            columns["attention_mask"] = [one.attention_mask for one in encoded]
        if return_offsets_mapping:
            columns["offset_mapping"] = [one.offsets for one in encoded]
        if return_special_tokens_mask:
            columns["special_tokens_mask"] = [one.special_tokens_mask for one in encoded]
        columns = self._padded(columns, padding, limit, pad_to_multiple_of, padding_side)
        result: dict[str, Any] = dict(columns)
        if isinstance(text, str) and return_tensors is None:
            result = {name: rows[0] for name, rows in result.items()}
        if return_length:
            result["length"] = [len(row) for row in columns["input_ids"]]
        return as_tensors(result, return_tensors)

    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        *,
        pad_to_multiple_of: int | None = None,
        padding_side: Literal["left", "right"] | None = None,
        return_tensors: str | None = None,
    ) -> Encoding:
        """Rows that were encoded before, of one length; the options are those of a call of the tokenizer.

        Args:
            encoded_inputs: `input_ids` and masks, of several texts, or a list of those of one text each.
        """
        if isinstance(encoded_inputs, Mapping):
            columns = {name: [list(row) for row in rows] for name, rows in encoded_inputs.items()}
        else:
            columns = {name: [list(one[name]) for one in encoded_inputs] for name in encoded_inputs[0]}
        columns.setdefault("attention_mask", [[1] * len(row) for row in columns["input_ids"]])
        columns = self._padded(columns, padding, max_length or self._own_limit(), pad_to_multiple_of, padding_side)
        return as_tensors(columns, return_tensors)

    def _own_limit(self) -> int | None:
        return self.model_max_length if self.model_max_length < 10**20 else None

    def _truncating(self, truncation: bool | str | None, limit: int | None) -> Backend:
        """The backend, or a copy of it that cuts at `limit`: the shared one is never changed, other threads use it."""
        if truncation in (False, None, "do_not_truncate") or limit is None:
            return self.backend_tokenizer
        strategy = "longest_first" if truncation is True else str(truncation)
        if strategy not in ("longest_first", "only_first", "only_second"):
            raise ValueError(
                f"truncation must be True, False, 'longest_first', 'only_first' or 'only_second': {truncation}"
            )
        key = limit, strategy, self.truncation_side
        cutting = self._cutting
        if cutting is None or cutting[0] != key:
            backend = copy.deepcopy(self.backend_tokenizer)
            backend.enable_truncation(limit, strategy=strategy, direction=self.truncation_side)
            self._cutting = cutting = key, backend
        return cutting[1]

    def _padded(
        self,
        columns: dict[str, list[list[Any]]],
        padding: bool | str,
        limit: int | None,
        multiple: int | None,
        side: Literal["left", "right"] | None,
    ) -> dict[str, list[list[Any]]]:
        length = row_length([len(row) for row in columns["input_ids"]], padding, limit, multiple)
        if length is None:
            return columns
        if self.pad_token_id is None:
            raise ValueError("the tokenizer has no padding token: set pad_token, e.g. to its eos_token")
        return pad_rows(columns, length, self.pad_token_id, side or self.padding_side)

    def tokenize(self, text: str, add_special_tokens: bool = False) -> list[str]:
        """The tokens of a text, as the vocabulary spells them."""
        tokens: list[str] = self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).tokens
        return tokens

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int | None: ...
    @overload
    def convert_tokens_to_ids(self, tokens: list[str] | tuple[str, ...]) -> list[int | None]: ...
    def convert_tokens_to_ids(self, tokens: str | list[str] | tuple[str, ...]) -> int | list[int | None] | None:
        """The id of a token, or of each; an unknown one has the id of `unk_token`, or None without one."""
        if isinstance(tokens, str):
            found: int | None = self.backend_tokenizer.token_to_id(tokens)
            return self.unk_token_id if found is None else found
        return [self.convert_tokens_to_ids(token) for token in tokens]

    @overload
    def convert_ids_to_tokens(self, ids: int, skip_special_tokens: bool = False) -> str | None: ...
    @overload
    def convert_ids_to_tokens(self, ids: Sequence[int], skip_special_tokens: bool = False) -> list[str | None]: ...
    def convert_ids_to_tokens(
        self, ids: int | Sequence[int], skip_special_tokens: bool = False
    ) -> str | list[str | None] | None:
        """The token of an id, or of each, as the vocabulary spells it; None for an id that it does not have."""
        if isinstance(ids, int):
            token: str | None = self.backend_tokenizer.id_to_token(ids)
            return token
        left_out = set(self.all_special_ids) if skip_special_tokens else set()
        return [self.backend_tokenizer.id_to_token(token_id) for token_id in _ids(ids) if token_id not in left_out]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text of tokens as the vocabulary spells them."""
        decoder = self.backend_tokenizer.decoder
        return decoder.decode(list(tokens)) if decoder is not None else " ".join(tokens)

    def apply_chat_template(
        self,
        conversation: Sequence[Any],
        tools: Sequence[Any] | None = None,
        *,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = True,
        return_dict: bool = False,
        return_tensors: str | None = None,
        **names: Any,
    ) -> Any:
        """A conversation as the model expects it.

        Args:
            conversation: messages, `{"role": ..., "content": ...}` each; or several such lists.
            tools: JSON schemas of functions that the model may call.
            chat_template: Jinja source, or the name of one of the model's; None is the model's own.
            add_generation_prompt: end with what makes the model answer.
            continue_final_message: end with the text of the last message, so that the model goes on with it.
            tokenize: give token ids, else text.
            return_dict: give `input_ids` and `attention_mask`.
            return_tensors: `"np"` or `"pt"` gives arrays [conversations, tokens] instead of lists.
            names: further names for the template, e.g. `enable_thinking=False`.

        Returns:
            A list of ids, or a text; one of them a conversation if several were given.

        Raises:
            ValueError: the tokenizer has no template, the template refuses the conversation, or a last message that is
                to be continued has no text, or is to be answered too.
        """
        if continue_final_message and add_generation_prompt:
            raise ValueError("add_generation_prompt and continue_final_message exclude each other")
        several = bool(conversation) and not isinstance(conversation[0], Mapping)
        if tokenize and (return_dict or return_tensors is not None):
            texts = self.apply_chat_template(
                conversation,
                tools,
                chat_template=chat_template,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message,
                tokenize=False,
                **names,
            )
            encoding = self(texts, add_special_tokens=False, return_tensors=return_tensors)
            return encoding if return_dict else encoding["input_ids"]
        if several:
            return [
                self.apply_chat_template(
                    one,
                    tools,
                    chat_template=chat_template,
                    add_generation_prompt=add_generation_prompt,
                    continue_final_message=continue_final_message,
                    tokenize=tokenize,
                    **names,
                )
                for one in conversation
            ]
        from tinker_hl.tokenizer.chat_template import render  # jinja2 is slow to import

        text = render(
            self._template(chat_template, tools),
            marked(conversation) if continue_final_message else conversation,
            add_generation_prompt=add_generation_prompt,
            tools=tools,
            names={**self.special_tokens_map, **names},
        )
        if continue_final_message:
            text = cut(text)
        return self.encode(text, add_special_tokens=False) if tokenize else text

    def _template(self, wanted: str | None, tools: Sequence[Any] | None) -> str:
        named = _named_templates(self.chat_template)
        for name in (wanted, None if wanted else "tool_use" if tools else None, None if wanted else "default"):
            if name is not None and name in named:
                return named[name]
        if wanted is not None:
            return wanted
        raise ValueError(f"the tokenizer {self.name_or_path} has no chat template; give one as chat_template=")

    def vocabulary_changed(self) -> None:
        """A copy of the old vocabulary is of no use any more."""
        self._cutting = None

    def add_tokens(self, new_tokens: str | Sequence[Any], special_tokens: bool = False) -> int:
        """Put tokens into the vocabulary; a model has to be resized by as many rows as were new.

        Args:
            new_tokens: texts, or the `tokenizers` library's `AddedToken`.
            special_tokens: whether a decoding without special tokens leaves them out.
        """
        tokens = [new_tokens] if isinstance(new_tokens, str) else list(new_tokens)
        add = self.backend_tokenizer.add_special_tokens if special_tokens else self.backend_tokenizer.add_tokens
        added = add(tokens)
        self.vocabulary_changed()
        return added

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many tokens are put around a text, or a pair of texts."""
        return self.backend_tokenizer.num_special_tokens_to_add(pair)

    @property
    def vocab_size(self) -> int:
        """Tokens without the added ones."""
        return self.backend_tokenizer.get_vocab_size(with_added_tokens=False)

    def get_vocab(self) -> dict[str, int]:
        """Token -> id, added ones included."""
        return self.backend_tokenizer.get_vocab(with_added_tokens=True)

    def get_added_vocab(self) -> dict[str, int]:
        """Token -> id, of the added ones."""
        plain = self.backend_tokenizer.get_vocab(with_added_tokens=False)
        return {token: token_id for token, token_id in self.get_vocab().items() if token not in plain}

    def __len__(self) -> int:
        return self.backend_tokenizer.get_vocab_size(with_added_tokens=True)

    def __repr__(self) -> str:
        return f"Tokenizer({self.name_or_path!r}, {len(self)} tokens)"


def _side(value: Any) -> Literal["left", "right"]:
    return "left" if value == "left" else "right"


def _model_input_names(settings: Mapping[str, Any]) -> list[str]:
    """What calling the tokenizer gives: as the settings say, or as the class of transformers that they name does."""
    if told := items(settings.get("model_input_names")):
        return [str(name) for name in told]
    kind = str(settings.get("tokenizer_class") or "").removesuffix("Fast")
    return (
        ["input_ids", "token_type_ids", "attention_mask"]
        if kind in TYPE_IDS_CLASSES
        else ["input_ids", "attention_mask"]
    )


def _named_templates(template: Any) -> dict[str, str]:
    """One template under the name `default`, or several under their own."""
    if isinstance(template, str):
        return {"default": template}
    return {entry["name"]: entry["template"] for entry in items(template) if isinstance(entry, Mapping)}


def _ids(token_ids: Any) -> list[int]:
    if hasattr(token_ids, "tolist"):
        token_ids = token_ids.tolist()
    if isinstance(token_ids, Mapping):
        token_ids = token_ids["input_ids"]
    return [token_ids] if isinstance(token_ids, int) else [int(token_id) for token_id in token_ids]
