"""Every kind of tokenizer, WordPiece, Unigram, byte-fallback BPE, whole words, does what transformers does with it."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend

from tinker_hl.errors import ConfigurationError
from tinker_hl.tokenizer import Tokenizer, load_tokenizer

TEXTS = [
    "",
    "hello world",
    "Hello, World! It's the un-believable café; don't .",
    "日本語 and 🙂\x00 mixed\n\tlines",
    "<extra> between<kept>words [MASK] <s>here</s>",
    "  leading and   inner spaces  ",
]
CORPUS = ["hello world, how is it going in the world of words", "unbelievable words and lines", *TEXTS]


def wordpiece() -> tuple[Backend, dict[str, Any]]:
    """As BERT's: lower case, `##` within words, `[CLS] ... [SEP]`."""
    backend = Backend(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)  # type: ignore[assignment]
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore[assignment]
    backend.decoder = decoders.WordPiece()  # type: ignore[assignment]
    named = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=160, special_tokens=named, show_progress=False)  # type: ignore[call-arg]
    backend.train_from_iterator(CORPUS, trainer)
    backend.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    told = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), named, strict=True))
    return backend, {"tokenizer_class": "BertTokenizer", "clean_up_tokenization_spaces": True, **told}


def unigram() -> tuple[Backend, dict[str, Any]]:
    """As SentencePiece's: `▁` before words, an end behind them."""
    backend = Backend(models.Unigram())
    backend.normalizer = normalizers.NFKC()  # type: ignore[assignment]
    backend.pre_tokenizer = pre_tokenizers.Metaspace()  # type: ignore[assignment]
    backend.decoder = decoders.Metaspace()  # type: ignore[assignment]
    named = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(  # type: ignore[call-arg]
        vocab_size=150, special_tokens=named, unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    backend.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    told = dict(zip(("pad_token", "eos_token", "unk_token"), named, strict=True))
    names = ["input_ids", "token_type_ids", "attention_mask"]
    return backend, {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": names, **told}


def byte_fallback() -> tuple[Backend, dict[str, Any]]:
    """As Llama 2's: BPE with `▁`, and bytes for what the vocabulary has not."""
    backend = Backend(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence(  # type: ignore[assignment]
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(  # type: ignore[assignment]
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    named = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=380, special_tokens=named, show_progress=False)  # type: ignore[call-arg]
    backend.train_from_iterator(["hello world and words"], trainer)
    backend.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    told = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
    return backend, {"tokenizer_class": "PreTrainedTokenizerFast", "padding_side": "left", **told}


def whole_words() -> tuple[Backend, dict[str, Any]]:
    """A vocabulary of words, cut on the left."""
    backend = Backend(models.WordLevel(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    trainer = trainers.WordLevelTrainer(  # type: ignore[call-arg]
        vocab_size=60, special_tokens=["<unk>", "<pad>"], show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    told = {"unk_token": "<unk>", "pad_token": "<pad>", "truncation_side": "left", "model_max_length": 6}
    return backend, {"tokenizer_class": "PreTrainedTokenizerFast", **told}


KINDS: list[Callable[[], tuple[Backend, dict[str, Any]]]] = [wordpiece, unigram, byte_fallback, whole_words]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of one kind, with tokens that were added: a special one, and one that is not."""
    place = tmp_path_factory.mktemp(request.param.__name__)
    backend, told = request.param()
    backend.add_special_tokens([AddedToken("<extra>", special=True)])
    backend.add_tokens([AddedToken("<kept>", lstrip=True, normalized=False)])
    backend.save(str(place / "tokenizer.json"))
    (place / "tokenizer_config.json").write_text(json.dumps(told | {"additional_special_tokens": ["<extra>"]}))
    return place


@pytest.fixture(scope="module")
def ours(folder: Path) -> Tokenizer:
    return load_tokenizer("any", str(folder))


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    real = load_tokenizer("any", str(folder), backend="transformers")
    assert type(real).__module__.startswith("transformers")
    return real


def agree(mine: Tokenizer, reference: Any, text: str) -> None:
    for special in (True, False):
        ids = reference.encode(text, add_special_tokens=special)
        assert mine.encode(text, add_special_tokens=special) == ids
        for skip in (True, False):
            assert mine.decode(ids, skip_special_tokens=skip) == reference.decode(ids, skip_special_tokens=skip)
            kept = mine.decode(ids, skip, clean_up_tokenization_spaces=False)
            assert kept == reference.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False)
    assert mine.tokenize(text) == reference.tokenize(text)
    assert mine.convert_tokens_to_string(mine.tokenize(text)) == reference.convert_tokens_to_string(
        reference.tokenize(text)
    )


@pytest.mark.parametrize("text", TEXTS)
def test_ids_and_text_are_those_of_transformers(ours: Tokenizer, theirs: Any, text: str) -> None:
    agree(ours, theirs, text)


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_agrees(ours: Tokenizer, theirs: Any, text: str) -> None:
    agree(ours, theirs, text)


def test_special_and_added_tokens_are_those_of_transformers(ours: Tokenizer, theirs: Any) -> None:
    for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        assert getattr(ours, f"{name}_token") == getattr(theirs, f"{name}_token"), name
        assert getattr(ours, f"{name}_token_id") == getattr(theirs, f"{name}_token_id"), name
    assert sorted(ours.all_special_ids) == sorted(theirs.all_special_ids)
    assert ours.get_added_vocab().keys() >= {"<extra>", "<kept>"}
    assert ours.model_input_names == theirs.model_input_names
    for pair in (False, True):
        assert ours.num_special_tokens_to_add(pair) == theirs.num_special_tokens_to_add(pair)
    ids = ours.encode("hello<extra><kept>", add_special_tokens=False)
    assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids)
    assert "<extra>" not in ours.decode(ids, skip_special_tokens=True)
    assert "<kept>" in ours.decode(ids, skip_special_tokens=True)


def plain(rows: Any) -> Any:
    return rows.tolist() if hasattr(rows, "tolist") else rows


OPTIONS: list[dict[str, Any]] = [
    {},
    {"padding": True},
    {"padding": "max_length", "max_length": 30, "return_offsets_mapping": True, "truncation": True},
    {"padding": True, "pad_to_multiple_of": 8, "return_tensors": "np", "return_special_tokens_mask": True},
    {"truncation": True, "max_length": 7, "return_length": True},
    {"truncation": "longest_first", "max_length": 7, "padding": "longest", "return_tensors": "pt"},
    {"return_token_type_ids": True, "return_attention_mask": False},
    {"return_token_type_ids": False, "add_special_tokens": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options) or "none")
@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("pairs", [True, False])
def test_rows_are_those_of_transformers(
    ours: Tokenizer, theirs: Any, options: dict[str, Any], several: bool, pairs: bool
) -> None:
    texts = TEXTS[1:5] if several else TEXTS[2]
    others = (TEXTS[1:5][::-1] if several else TEXTS[1]) if pairs else None
    mine, reference = ours(texts, others, **options), theirs(texts, others, **options)
    assert {*mine} == {*reference}
    for name, rows in mine.items():
        assert type(rows) is type(reference[name]), name
        assert plain(rows) == plain(reference[name]), name


@pytest.mark.parametrize("truncation", ["only_first", "only_second", "longest_first"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_pairs_are_cut_where_the_caller_says(ours: Tokenizer, theirs: Any, truncation: str, side: str) -> None:
    mine, reference = copy.copy(ours), copy.deepcopy(theirs)
    mine.truncation_side = reference.truncation_side = side  # type: ignore[assignment]
    first, second = "hello world and words and lines and words", "the world of words is the world"
    most = len(ours(first, second).input_ids) - 3
    cut = mine(first, second, truncation=truncation, max_length=most)
    assert cut.input_ids == reference(first, second, truncation=truncation, max_length=most)["input_ids"]
    assert len(cut.input_ids) == most
    with pytest.raises(ValueError, match="only_second"):
        mine(first, truncation="shortest", max_length=3)


def test_rows_are_padded_as_transformers_pads_them(ours: Tokenizer, theirs: Any) -> None:
    rows = [dict(ours(text, return_token_type_ids=True)) for text in TEXTS[1:4]]
    mine, reference = ours.pad(rows, return_tensors="np"), theirs.pad(rows, return_tensors="np")
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert np.array_equal(mine[name], reference[name]), name


def test_what_was_added_is_counted_and_written(folder: Path, ours: Tokenizer, tmp_path: Path) -> None:
    grown = Tokenizer.from_files("grown", {file.name: file for file in folder.iterdir()})
    before = len(grown)
    assert grown.add_special_tokens({"eos_token": "<end>", "additional_special_tokens": ["<extra>", "<more>"]}) == 2
    assert grown.add_tokens("<word>") == 1
    assert (len(grown), grown.eos_token_id) == (before + 3, before)
    grown.pad_token_id = grown.eos_token_id
    assert grown.pad_token == "<end>"
    with pytest.raises(ValueError, match="no token 100000"):
        grown.pad_token_id = 100000
    with pytest.raises(ValueError, match="end_token is no special token"):
        grown.add_special_tokens({"end_token": "<end>"})
    assert len(ours) == before, "each has a vocabulary of its own"
    grown.chat_template = "{{ messages[0].content }}"
    assert all(Path(path).is_file() for path in grown.save_pretrained(tmp_path / "new"))
    for again in (
        load_tokenizer("any", str(tmp_path / "new")),
        load_tokenizer("any", str(tmp_path / "new"), backend="transformers"),
    ):
        assert (len(again), again.eos_token_id, again.pad_token) == (before + 3, before, "<end>")
        assert again.encode("hello <more> <word>") == grown.encode("hello <more> <word>")
        assert again.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False) == "hello"


CACHED = """
import sys
from tinker_hl.tokenizer import load_tokenizer
print(load_tokenizer("some/model").encode("hello world"))
try:
    load_tokenizer("other/model")
except Exception as error:
    print(type(error).__name__)
"""


def laid_out(root: Path, files: Iterable[Path]) -> None:
    """As the hub's own library keeps what it has downloaded."""
    model = root / "models--some--model"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("abc")
    (model / "snapshots" / "abc").mkdir(parents=True)
    for file in files:
        (model / "snapshots" / "abc" / file.name).write_bytes(file.read_bytes())


@pytest.mark.parametrize(
    ("variable", "inner"), [("HF_HOME", "hub"), ("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", "")]
)
def test_caches_that_the_environment_names_are_used_offline(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, variable: str, inner: str
) -> None:
    backend, told = wordpiece()
    backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(told))
    cache = tmp_path_factory.mktemp("cache")
    laid_out(cache / inner, tmp_path.iterdir())
    names = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", CACHED],
        env=environment | {variable: str(cache), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    ids, refused = done.stdout.splitlines()
    assert json.loads(ids) == backend.encode("hello world").ids
    assert refused == ConfigurationError.__name__
