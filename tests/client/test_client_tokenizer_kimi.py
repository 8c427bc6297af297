"""Kimi's tokenizers: what tiktoken makes of the same files, without running the code that comes with them."""

import base64
import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl import tokenizer as tokenizers_of_ours
from tinker_hl.errors import ConfigurationError
from tinker_hl.tokenizer import Tokenizer, _found, _read_without, load_tokenizer
from tinker_hl.tokenizer.kimi import KimiTokenizer
from tinker_hl.tokenizer.sources import NEEDS_CODE
from tinker_hl.tokenizer.tiktoken_backend import LONGEST_RUN, MOST_CHARACTERS

AS_THEIR_CODE_HAS_IT = (
    r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
WORDS = ["Hello", " world", " the", "isn't", "12", "123", "日本", "语", "naïve", "\n\n", "  ", "é", "🙂", "!!", "aaaa"]
RANKS = {bytes([byte]): byte for byte in range(256)}
for word in WORDS:
    for length in range(2, len(word.encode()) + 1):
        RANKS.setdefault(word.encode()[:length], len(RANKS))
BASE = len(RANKS)
NAMED = {0: "[BOS]", 1: "[EOS]", 2: "<|im_end|>", 3: "<|im_user|>", 4: "<|open|>", 254: "[UNK]", 255: "[PAD]"}
SPECIALS = {NAMED.get(i, f"<|reserved_token_{BASE + i}|>"): BASE + i for i in range(256)}
TEXTS = [
    "",
    "Hello world",
    "HELLO it's ISN'T isn't 12345 1",
    "naïve 日本語 mixed日本 ok 🙂\x00",
    "<|im_user|>Hello[BOS]<|im_end|> <|open|><|reserved_token_9|>",
    "  spaces   and\r\n\n\tlines !!\n",
]
TEMPLATE = (
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    + "{% for m in messages %}<|im_user|>{{ m.content }}<|im_end|>{% endfor %}"
)


@pytest.fixture(scope="module")
def reference() -> tiktoken.Encoding:
    return tiktoken.Encoding("r", pat_str=AS_THEIR_CODE_HAS_IT, mergeable_ranks=RANKS, special_tokens=SPECIALS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of such a model, with code that says when it runs."""
    place = tmp_path_factory.mktemp("kimi")
    lines = [base64.b64encode(token) + b" " + str(rank).encode() for token, rank in RANKS.items()]
    (place / "tiktoken.model").write_bytes(b"\n".join(lines))
    settings = {
        "added_tokens_decoder": {
            str(BASE + i): {"content": text, "special": text != "<|open|>"} for i, text in NAMED.items()
        },
        "additional_special_tokens": ["<|im_end|>", "<|im_user|>"],
        "auto_map": {"AutoTokenizer": ["tokenization_kimi.TikTokenTokenizer", None]},
        "tokenizer_class": "TikTokenTokenizer",
        "model_max_length": 10**30,
        "chat_template": TEMPLATE,
        **{f"{name}_token": f"[{name.upper()}]" for name in ("bos", "eos", "unk", "pad")},
    }
    (place / "tokenizer_config.json").write_text(json.dumps(settings))
    (place / "tokenization_kimi.py").write_text("raise SystemExit('the code of the hub was run')\n")
    return place


@pytest.fixture(autouse=True)
def _no_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINKER_TRUST_REMOTE_CODE", raising=False)


@pytest.fixture
def ours(folder: Path) -> KimiTokenizer:
    made = load_tokenizer("moonshotai/any", str(folder))
    assert isinstance(made, KimiTokenizer)
    return made


@pytest.mark.parametrize("text", TEXTS)
def test_ids_and_text_are_those_of_tiktoken(ours: KimiTokenizer, reference: tiktoken.Encoding, text: str) -> None:
    ids = reference.encode(text, allowed_special="all")
    assert ours.encode(text) == ours.encode(text, add_special_tokens=False) == ids
    assert ours.decode(ids) == reference.decode(ids) == text
    assert ours.encode(text, allow_special_tokens=False) == reference.encode_ordinary(text)
    assert ours.convert_tokens_to_ids(ours.tokenize(text)) == ids
    assert ours.convert_tokens_to_string(ours.tokenize(text)) == text


@given(st.text())
def test_any_text_agrees_and_comes_back(folder: Path, reference: tiktoken.Encoding, text: str) -> None:
    ours = load_tokenizer("any", str(folder))
    ids = ours.encode(text)
    assert ids == reference.encode(text, allowed_special="all")
    assert ours.decode(ids) == reference.decode(ids)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_offsets_are_the_characters_that_each_token_is_of(folder: Path, text: str) -> None:
    ours = load_tokenizer("any", str(folder))
    encoded = ours(text, return_offsets_mapping=True)
    place = 0
    for token_id, (start, end) in zip(encoded.input_ids, encoded.offset_mapping, strict=True):
        piece = ours.backend_tokenizer.encoding.decode_single_token_bytes(token_id)  # type: ignore[attr-defined]
        assert piece in text[start:end].encode()
        behind = place + len(piece)
        assert len(text[:start].encode()) <= place < len(text[: start + 1].encode())
        assert len(text[: end - 1].encode()) < behind <= len(text[:end].encode())
        place = behind
    assert place == len(text.encode())


@pytest.mark.parametrize("text", ["a" * (2 * LONGEST_RUN + 7), "b \n" * 9000 + " " * LONGEST_RUN, "ab " * 140_000])
def test_long_texts_are_cut_as_their_code_cuts_them(
    ours: KimiTokenizer, reference: tiktoken.Encoding, text: str
) -> None:
    expected: list[int] = []
    for start in range(0, len(text), MOST_CHARACTERS):
        piece = text[start : start + MOST_CHARACTERS]
        cuts, run = [0], 1
        for place in range(1, len(piece)):
            run = run + 1 if piece[place].isspace() == piece[place - 1].isspace() else 1
            if run > LONGEST_RUN:
                cuts.append(place)
                run = 1
        for begin, end in zip(cuts, [*cuts[1:], len(piece)], strict=True):
            expected += reference.encode(piece[begin:end], allowed_special="all")
    assert ours.encode(text) == expected


def test_special_tokens_come_from_the_settings(ours: KimiTokenizer) -> None:
    assert (ours.bos_token_id, ours.eos_token_id, ours.unk_token_id, ours.pad_token_id) == (
        BASE,
        BASE + 1,
        BASE + 254,
        BASE + 255,
    )
    assert {"[BOS]", "<|im_end|>"} <= set(ours.all_special_tokens)
    assert len(ours) == ours.vocab_size == BASE + 256
    assert ours.convert_ids_to_tokens(BASE + 7) == f"<|reserved_token_{BASE + 7}|>"
    assert ours.convert_tokens_to_ids("no such token") == ours.unk_token_id
    ids = ours.encode("[BOS]Hello<|open|> world<|im_end|>")
    assert ours.decode(ids, skip_special_tokens=True) == "Hello<|open|> world"
    assert ours.decode([*ids, 10**6]) == "[BOS]Hello<|open|> world<|im_end|>"


def test_rows_pairs_and_cuts(ours: KimiTokenizer) -> None:
    rows = ours(["Hello", "Hello world the"], padding=True, return_tensors="np")
    assert rows.input_ids.shape == rows.attention_mask.shape
    assert rows.input_ids[0].tolist()[1:] == [ours.pad_token_id] * (rows.input_ids.shape[1] - 1)
    whole = ours.encode("Hello world the")
    for side, kept in (("right", whole[:2]), ("left", whole[-2:])):
        shorter = copy.copy(ours)
        shorter.truncation_side = side  # type: ignore[assignment]
        assert shorter("Hello world the", truncation=True, max_length=2).input_ids == kept
    assert ours.encode("Hello world the") == whole, "the cut was another one's"
    first, second = ours.encode("Hello world the"), ours.encode("12 123")
    pair = ours("Hello world the", "12 123", return_token_type_ids=True, return_special_tokens_mask=True)
    assert pair.input_ids == first + second
    assert pair.token_type_ids == [0] * len(first) + [1] * len(second)
    assert set(pair.special_tokens_mask) == {0}
    for truncation, length in (("only_first", 2), ("only_second", 2), ("longest_first", 3)):
        most = length + (0 if truncation == "longest_first" else len(second if truncation == "only_first" else first))
        cut = ours("Hello world the", "12 123", truncation=truncation, max_length=most)
        assert len(cut.input_ids) == most
    assert ours.num_special_tokens_to_add() == ours.num_special_tokens_to_add(pair=True) == 0


def test_tokens_can_be_added(folder: Path) -> None:
    ours = KimiTokenizer.from_files("k", {file.name: file for file in folder.iterdir()})
    assert ours.add_special_tokens({"pad_token": "<fill>", "additional_special_tokens": ["<|im_end|>", "<extra>"]}) == 2
    assert ours.add_tokens(["<kept>", "<kept>"]) == 1
    assert (ours.pad_token_id, len(ours), ours.vocab_size) == (BASE + 256, BASE + 259, BASE + 256)
    assert ours.get_added_vocab() == {"<fill>": BASE + 256, "<extra>": BASE + 257, "<kept>": BASE + 258}
    ids = ours.encode("Hello<extra><kept>")
    assert ids[-2:] == [BASE + 257, BASE + 258]
    assert ours.decode(ids, skip_special_tokens=True) == "Hello<kept>"
    assert pickle.loads(pickle.dumps(ours)).encode("Hello<extra><kept>") == ids


def test_it_is_written_and_read_again(ours: KimiTokenizer, tmp_path: Path) -> None:
    written = ours.save_pretrained(tmp_path / "copy")
    assert {Path(path).name for path in written} == {"tiktoken.model", "tokenizer_config.json", "chat_template.jinja"}
    again = load_tokenizer("any", str(tmp_path / "copy"))
    for text in TEXTS:
        assert again.encode(text) == ours.encode(text)
    talk = [{"role": "user", "content": "Hello"}]
    assert again.apply_chat_template(talk) == ours.apply_chat_template(talk)


def test_conversations_and_tools(ours: KimiTokenizer, reference: tiktoken.Encoding) -> None:
    talk = [{"role": "user", "content": "Hello"}]
    text = "<|im_user|>Hello<|im_end|>"
    assert ours.apply_chat_template(talk) == reference.encode(text, allowed_special="all")
    tools = [{"type": "function", "function": {"name": "f", "description": "d"}}]
    said = ours.apply_chat_template(talk, tools, tokenize=False)
    assert said == '[{"function": {"description": "d", "name": "f"}, "type": "function"}]' + text
    scripted = copy.copy(ours)
    scripted.chat_template = "{{ tools_ts_str }}" + TEMPLATE
    assert scripted.apply_chat_template(talk, tokenize=False) == text
    with pytest.raises(ValueError, match="code of its own"):
        scripted.apply_chat_template(talk, tools)


@pytest.mark.parametrize(("model", "revision"), NEEDS_CODE.items())
def test_known_names_are_read_at_their_pinned_revision(
    folder: Path, monkeypatch: pytest.MonkeyPatch, model: str, revision: str
) -> None:
    asked: list[tuple[str, str, bool]] = []

    def download(name: str, *, revision: str, allow_patterns: Any, local_files_only: bool = False) -> str:
        assert not any(pattern.endswith(".py") or "*" in pattern for pattern in allow_patterns)
        asked.append((name, revision, local_files_only))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    _read_without.cache_clear()
    assert isinstance(load_tokenizer(model), KimiTokenizer)
    assert load_tokenizer(model) is load_tokenizer(f"{model}:peft:131072")
    assert isinstance(load_tokenizer(model, revision="newer"), KimiTokenizer)
    _read_without.cache_clear()
    assert asked == [(model, revision, True), (model, "newer", True)]


def test_without_tiktoken_the_user_hears_of_both_ways(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers_of_ours, "tiktoken_is_there", lambda: False)
    with pytest.raises(ConfigurationError, match="is Python code") as refused:
        load_tokenizer("any", str(folder))
    assert "trust_remote_code=True" in str(refused.value)
    assert "tinker-hl[kimi]" in str(refused.value)
    with pytest.raises(ConfigurationError, match="is Python code"):
        load_tokenizer("any", str(folder), backend="transformers")


def test_the_code_runs_only_where_the_user_agrees(folder: Path) -> None:
    assert isinstance(load_tokenizer("any", str(folder), trust_remote_code=False), Tokenizer)
    with pytest.raises(SystemExit, match="the code of the hub was run"):
        load_tokenizer("any", str(folder), trust_remote_code=True)


Spoil = Callable[[Path], object]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda place: (place / "tiktoken.model").write_text("not base64 1"), "no file of tokens and ranks"),
        (lambda place: (place / "tiktoken.model").write_text("YQ== 0\nYg== 0"), "is no vocabulary"),
        (lambda place: (place / "tiktoken.model").unlink(), r"is Python code"),
        (lambda place: (place / "tokenizer_config.json").write_text("{"), "no JSON"),
    ],
)
def test_broken_files(folder: Path, tmp_path: Path, spoil: Spoil, says: str) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    spoil(tmp_path)
    _found.cache_clear()
    with pytest.raises(ConfigurationError, match=says):
        load_tokenizer("any", str(tmp_path))
