"""Tokenizers: the same ids and text as transformers gives, names resolved as research code expects."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

import tinker_local
from tinker_hl import tokenizer as tokenizers_of_ours
from tinker_hl.errors import ConfigurationError
from tinker_hl.tokenizer import Tokenizer, _run, load_tokenizer, resolve_tokenizer_id
from tinker_hl.tokenizer.sources import NEEDS_CODE

TINY = Path(tinker_local.__file__).parent / "models" / "tiny"

TEXTS = [
    "",
    " ",
    "hello world",
    "Hello, world! How's it going?\n\tIt isn't .",
    "naïve café — 日本語 🙂\x00",
    "<bos>special<eos> in <pad>text<|tool|>",
    "  leading and   inner spaces  ",
]

TEMPLATE = """{%- for message in messages %}
{%- if message.role not in ['user', 'assistant'] %}{{ raise_exception('no role ' + message.role) }}{% endif -%}
{{ bos_token }}{{ message['role'] }}: {% if message.role == 'assistant' -%}
{% generation %}{{ message['content'] | trim }}{% endgeneration %}
{%- else %}{{ message['content'] }}{% endif %}{{ eos_token }}
{% if loop.last %}{% break %}{% endif %}
{%- endfor %}
{%- if tools %}{{ tools | tojson }}{% endif %}
{%- if add_generation_prompt %}assistant:{{ ' think' if thinking }}{% endif %}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE tokenizer with special tokens, a post-processor and a chat template."""
    place = tmp_path_factory.mktemp("tokenizer")
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    backend.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(  # type: ignore[call-arg]
        vocab_size=400,
        special_tokens=["<bos>", "<eos>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(["hello world, how is it going in the world", *TEXTS], trainer)
    backend.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="<bos> $A", pair="<bos> $A <eos> $B", special_tokens=[("<bos>", 0), ("<eos>", 1)]
    )
    backend.enable_truncation(max_length=4)
    backend.save(str(place / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": {
            "__type": "AddedToken",
            "content": "<bos>",
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        },
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "additional_special_tokens": ["<|tool|>"],
        "clean_up_tokenization_spaces": False,
        "model_max_length": 2048,
    }
    (place / "tokenizer_config.json").write_text(json.dumps(settings))
    (place / "chat_template.jinja").write_text(TEMPLATE)
    return place


@pytest.fixture(scope="module")
def ours(folder: Path) -> Tokenizer:
    return load_tokenizer("any/model", str(folder))


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("special", [True, False])
def test_ids_and_text_are_those_of_transformers(ours: Tokenizer, theirs: Any, text: str, special: bool) -> None:
    ids = ours.encode(text, add_special_tokens=special)
    assert ids == theirs.encode(text, add_special_tokens=special)
    assert ours.encode(text, "pair", special) == theirs.encode(text, "pair", add_special_tokens=special)
    assert dict(ours(text, add_special_tokens=special)) == {
        key: list(value) for key, value in theirs(text, add_special_tokens=special).items() if key != "token_type_ids"
    }
    for skip in (True, False):
        assert ours.decode(ids, skip_special_tokens=skip) == theirs.decode(ids, skip_special_tokens=skip)
    assert ours.tokenize(text) == theirs.tokenize(text)
    assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids)


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    tiny = load_tokenizer("tinker-hl/tiny", str(TINY))
    assert tiny.decode(tiny.encode(text, add_special_tokens=False)) == text.encode("utf-8", "replace").decode()


def test_the_shipped_tokenizer_agrees_too() -> None:
    from transformers import AutoTokenizer

    mine, reference = load_tokenizer("tinker-hl/tiny", str(TINY)), AutoTokenizer.from_pretrained(str(TINY))
    for text in TEXTS:
        assert mine.encode(text) == reference.encode(text)
    assert (mine.eos_token_id, mine.pad_token_id, len(mine)) == (
        reference.eos_token_id,
        reference.pad_token_id,
        len(reference),
    )


def test_special_tokens(ours: Tokenizer, theirs: Any) -> None:
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        assert getattr(ours, name) == getattr(theirs, name)
        assert getattr(ours, f"{name}_id") == getattr(theirs, f"{name}_id")
    assert sorted(ours.all_special_tokens) == sorted(theirs.all_special_tokens)
    assert sorted(ours.all_special_ids) == sorted(theirs.all_special_ids)
    assert (ours.vocab_size, len(ours), ours.get_vocab()) == (theirs.vocab_size, len(theirs), theirs.get_vocab())
    assert ours.model_max_length == theirs.model_max_length
    tokens = ["<bos>", "Ġworld", "no such token"]
    assert ours.convert_tokens_to_ids(tokens) == theirs.convert_tokens_to_ids(tokens)
    assert ours.convert_tokens_to_ids("<eos>") == 1
    ids = ours.encode("hello<eos>")
    assert ours.convert_ids_to_tokens(ids, skip_special_tokens=True) == theirs.convert_ids_to_tokens(ids, True)
    assert ours.convert_ids_to_tokens(1) == "<eos>"
    assert ours.convert_ids_to_tokens(10**6) is None
    assert ours.convert_tokens_to_string(ours.tokenize("hello world")) == "hello world"


def test_truncation_of_the_file_is_not_applied(ours: Tokenizer) -> None:
    assert len(ours.encode("hello " * 50)) > 4


def test_ids_may_come_from_arrays(ours: Tokenizer) -> None:
    ids = ours.encode("hello world", add_special_tokens=False)
    for given_ids in (
        ids,
        tuple(ids),
        np.array(ids),
        torch.tensor(ids),
        [torch.tensor(one) for one in ids],
        ours("hello world", add_special_tokens=False),
    ):
        assert ours.decode(given_ids) == "hello world"
    assert ours.decode(np.int64(ids[0])) == ours.decode(ids[0]) == ours.decode([ids[0]])
    assert ours.batch_decode(torch.tensor([ids, ids])) == ["hello world"] * 2


def plain(rows: Any) -> Any:
    return rows.tolist() if hasattr(rows, "tolist") else rows


def test_several_texts_at_once(ours: Tokenizer, theirs: Any) -> None:
    batch = ours(TEXTS[2:5])
    assert batch.input_ids == theirs(TEXTS[2:5])["input_ids"]
    assert [len(mask) for mask in batch["attention_mask"]] == [len(ids) for ids in batch.input_ids]
    with pytest.raises(AttributeError, match="input_ids"):
        _ = batch.offsets


TALK = [{"role": "user", "content": "hi  "}, {"role": "assistant", "content": " hello "}]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"add_generation_prompt": True},
        {"add_generation_prompt": True, "thinking": True},
        {"tools": [{"name": "find", "description": "<é>"}]},
        {"chat_template": "{{ messages | length }}{{ bos_token }}"},
    ],
)
def test_conversations_are_rendered_as_transformers_does(ours: Tokenizer, theirs: Any, options: dict[str, Any]) -> None:
    text = ours.apply_chat_template(TALK, tokenize=False, **options)
    assert text == theirs.apply_chat_template(TALK, tokenize=False, **options)
    ids = ours.apply_chat_template(TALK, **options)
    assert ids == theirs.apply_chat_template(TALK, return_dict=False, **options)
    assert ours.apply_chat_template([TALK, TALK], **options) == [ids, ids]


@pytest.mark.parametrize(
    "options",
    [
        {"padding": True},
        {"padding": "longest", "padding_side": "left"},
        {"padding": "max_length", "max_length": 40, "return_special_tokens_mask": True},
        {"padding": True, "pad_to_multiple_of": 8, "return_offsets_mapping": True},
        {"truncation": True, "max_length": 5},
        {"truncation": True, "max_length": 5, "padding": True, "return_tensors": "pt"},
        {"padding": True, "return_tensors": "np", "add_special_tokens": False},
        {"padding": "do_not_pad", "truncation": "do_not_truncate", "max_length": 2},
    ],
)
@pytest.mark.parametrize("text", [TEXTS[2:6], TEXTS[3]], ids=["several", "one"])
def test_rows_are_those_of_transformers(ours: Tokenizer, theirs: Any, text: Any, options: dict[str, Any]) -> None:
    mine, reference = ours(text, **options), theirs(text, **options)
    assert {*mine} == {*reference} - {"token_type_ids"}
    for name, rows in mine.items():
        assert type(rows) is type(reference[name])
        assert plain(rows) == plain(reference[name]), name
    assert ours(TEXTS[2]).input_ids == theirs(TEXTS[2])["input_ids"], "options of one call are not those of the next"


def test_pairs_and_rows_that_were_encoded_before(ours: Tokenizer, theirs: Any) -> None:
    assert ours(["a", "b"], ["c d", "e"]).input_ids == theirs(["a", "b"], ["c d", "e"])["input_ids"]
    rows = [{"input_ids": ours.encode(text)} for text in TEXTS[2:5]]
    for options in ({}, {"padding_side": "left", "return_tensors": "pt"}):
        mine, reference = ours.pad(rows, **options), theirs.pad(rows, **options)
        assert np.array_equal(mine.input_ids, reference["input_ids"])
        assert np.array_equal(mine.attention_mask, reference["attention_mask"])
    assert np.array_equal(ours.encode("hello", return_tensors="pt"), theirs.encode("hello", return_tensors="pt"))
    assert ours("hello", return_length=True).length == [len(ours.encode("hello"))]
    assert ours("hello", return_tensors="pt").to("cpu").input_ids.shape == (1, len(ours.encode("hello")))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"return_tensors": "pt"}, "padding=True"),
        ({"return_tensors": "tf"}, "'np' or 'pt'"),
        ({"padding": "shortest"}, "longest"),
    ],
)
def test_rows_that_cannot_be(ours: Tokenizer, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ours(TEXTS[2:5], **options)


def test_a_padding_token_is_set_as_research_code_does(folder: Path) -> None:
    bare = Tokenizer(Backend.from_file(str(folder / "tokenizer.json")), {"eos_token": "<eos>"})
    with pytest.raises(ValueError, match="pad_token"):
        bare(["a", "hello world"], padding=True)
    with pytest.raises(ValueError, match="needs max_length"):
        bare(["a"], padding="max_length")
    bare.pad_token = bare.eos_token
    assert bare.pad_token_id == bare.eos_token_id == 1
    assert 1 in bare(["a", "hello world, how"], padding=True).input_ids[0]
    bare.bos_token, bare.unk_token, bare.eos_token = "<new>", None, "<eos>"
    assert bare.decode([bare.bos_token_id]) == "<new>"
    assert bare.unk_token_id is None


PREFILLED = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": " Once upon a time "}]
BLOCKS = [{"role": "assistant", "content": [{"type": "text", "text": "first"}, {"type": "text", "text": "last "}]}]
KEEPING = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
TRIMMING = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</s>{% endfor %}"
IN_BLOCKS = "{% for m in messages %}{% for b in m.content %}[{{ b.text }}]{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("talk", "template"), [(PREFILLED, KEEPING), (PREFILLED, TRIMMING), (BLOCKS, IN_BLOCKS), (PREFILLED, None)]
)
def test_a_last_message_is_gone_on_with_as_transformers_does(
    ours: Tokenizer, theirs: Any, talk: list[dict[str, Any]], template: str | None
) -> None:
    before = copy.deepcopy(talk)
    options = {"chat_template": template, "continue_final_message": True, "tokenize": False}
    text = ours.apply_chat_template(talk, **options)
    assert text == theirs.apply_chat_template(talk, **options)
    assert text.rstrip().endswith(("time", "last"))
    assert talk == before, "the conversation is not changed"
    options["tokenize"] = True
    ids = ours.apply_chat_template([talk], **options)
    assert ids == [ours.encode(text, add_special_tokens=False)]


def test_what_cannot_be_gone_on_with_is_refused(ours: Tokenizer) -> None:
    for talk, options, message in (
        (PREFILLED, {"add_generation_prompt": True}, "exclude each other"),
        ([], {}, "is empty"),
        ([{"role": "assistant", "content": None}], {}, "no text"),
        (PREFILLED, {"chat_template": "{{ messages | length }}"}, "leaves the text"),
    ):
        with pytest.raises(ValueError, match=message):
            ours.apply_chat_template(talk, continue_final_message=True, **options)


def test_conversations_as_arrays(ours: Tokenizer, theirs: Any) -> None:
    for options in ({"return_dict": True}, {"return_dict": True, "return_tensors": "pt"}):
        mine, reference = ours.apply_chat_template(TALK, **options), theirs.apply_chat_template(TALK, **options)
        for name in ("input_ids", "attention_mask"):
            assert np.array_equal(mine[name], reference[name])
    ids = ours.apply_chat_template(TALK, return_tensors="np")
    assert ids.tolist() == [ours.apply_chat_template(TALK)]


def test_a_template_that_refuses_or_is_missing(ours: Tokenizer) -> None:
    with pytest.raises(ValueError, match="no role system"):
        ours.apply_chat_template([{"role": "system", "content": "x"}])
    with pytest.raises(ValueError, match="refuses"):
        ours.apply_chat_template(TALK, chat_template="{% broken")
    with pytest.raises(ValueError, match="chat template"):
        Tokenizer(Backend(models.BPE())).apply_chat_template(TALK)


def test_a_template_cannot_reach_out(ours: Tokenizer) -> None:
    with pytest.raises(ValueError, match="unsafe"):
        ours.apply_chat_template(TALK, chat_template="{{ ''.__class__.__mro__ }}{{ ''.__class__.__mro__[1].x() }}")


def test_named_templates(ours: Tokenizer, folder: Path) -> None:
    templates = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"}]
    named = Tokenizer(ours.backend_tokenizer, {"chat_template": templates})
    assert named.apply_chat_template(TALK, tokenize=False) == "plain"
    assert named.apply_chat_template(TALK, tools=[{}], tokenize=False) == "tools"
    assert named.apply_chat_template(TALK, chat_template="tool_use", tokenize=False) == "tools"


def test_it_can_be_pickled(ours: Tokenizer) -> None:
    again = pickle.loads(pickle.dumps(ours))
    assert again.encode("hello world") == ours.encode("hello world")
    assert again.eos_token_id == ours.eos_token_id


def test_it_is_loaded_once(folder: Path) -> None:
    assert load_tokenizer("any/model", str(folder)) is load_tokenizer("any/model", str(folder))


@pytest.mark.parametrize(
    ("model", "tokenizer_id", "resolved"),
    [
        ("Qwen/Qwen3-8B", None, "Qwen/Qwen3-8B"),
        ("Qwen/Qwen3-8B:peft:131072", None, "Qwen/Qwen3-8B"),
        ("Qwen/Qwen3-8B/variant", None, "Qwen/Qwen3-8B"),
        ("meta-llama/Llama-3.1-8B:x", None, "thinkingmachineslabinc/meta-llama-3-instruct-tokenizer"),
        ("meta-llama/Llama-3.1-8B", "own/tokenizer:2", "own/tokenizer"),
        ("moonshotai/Kimi-K2.5-Text-Only", None, "moonshotai/Kimi-K2.5"),
        ("any", "moonshotai/Kimi-K2.5-Text-Only", "moonshotai/Kimi-K2.5"),
        ("any", str(TINY), str(TINY)),
        (str(TINY), None, str(TINY)),
    ],
)
def test_names(model: str, tokenizer_id: str | None, resolved: str) -> None:
    assert resolve_tokenizer_id(model, tokenizer_id) == resolved


@pytest.mark.parametrize("model", ["thinkingmachines/x", "TML/x:1"])
def test_tokenizers_of_a_package_of_their_own_name_it(model: str) -> None:
    with pytest.raises(ConfigurationError, match="tml-renderers"):
        load_tokenizer(model)


CODE = """
from pathlib import Path
from transformers import PreTrainedTokenizer

Path(__file__).with_name("it_ran").touch()

class Letters(PreTrainedTokenizer):
    vocab_files_names = {}
    vocab_size = 256
    def get_vocab(self): return {chr(i): i for i in range(256)}
    def _tokenize(self, text): return list(text)
    def _convert_token_to_id(self, token): return ord(token)
    def _convert_id_to_token(self, index): return chr(index)
    def save_vocabulary(self, *args, **kwargs): return ()
"""


@pytest.fixture
def code_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A tokenizer that is code, as the hub has some; what it does when it runs can be seen in the modules' cache."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.delenv("TINKER_TRUST_REMOTE_CODE", raising=False)
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "letters.py").write_text(CODE)
    settings = {"auto_map": {"AutoTokenizer": ["letters.Letters", None]}, "tokenizer_class": "Letters"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def _ran(folder: Path) -> bool:
    return any(folder.parent.rglob("it_ran"))


def test_fault_28_a_tokenizer_that_is_code_runs_only_with_consent(
    code_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for argument, variable in ((None, ""), (None, "0"), (False, "1")):
        monkeypatch.setenv("TINKER_TRUST_REMOTE_CODE", variable)
        with pytest.raises(ConfigurationError, match="is Python code") as refused:
            load_tokenizer("m", str(code_folder), trust_remote_code=argument)
        assert "TINKER_TRUST_REMOTE_CODE=1" in str(refused.value)
        assert "trust_remote_code=True" in str(refused.value)
    assert not _ran(code_folder)
    monkeypatch.delenv("TINKER_TRUST_REMOTE_CODE")
    by_argument = load_tokenizer("m", str(code_folder), trust_remote_code=True)
    assert by_argument.encode("hi") == [104, 105]
    assert _ran(code_folder)
    monkeypatch.setenv("TINKER_TRUST_REMOTE_CODE", "true")
    assert load_tokenizer("m", str(code_folder)) is by_argument
    monkeypatch.delenv("TINKER_TRUST_REMOTE_CODE")
    with pytest.raises(ConfigurationError, match="is Python code"):
        load_tokenizer("m", str(code_folder))


@pytest.mark.parametrize(("model", "revision"), NEEDS_CODE.items())
def test_known_tokenizers_of_that_kind_are_pinned(model: str, revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(
        "transformers.AutoTokenizer.from_pretrained", lambda name, **options: asked.append((name, options)) or "made"
    )
    monkeypatch.delenv("TINKER_TRUST_REMOTE_CODE", raising=False)
    monkeypatch.setattr(tokenizers_of_ours, "tiktoken_is_there", lambda: False)
    with pytest.raises(ConfigurationError, match=revision):
        load_tokenizer(model)
    assert asked == []
    _run.cache_clear()
    assert load_tokenizer(model, trust_remote_code=True) == "made"
    _run.cache_clear()
    assert asked == [(model, {"revision": revision, "trust_remote_code": True})]


def test_code_that_cannot_be_loaded_is_a_typed_error(code_folder: Path) -> None:
    (code_folder / "letters.py").unlink()
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        load_tokenizer("m", str(code_folder), trust_remote_code=True)


def test_what_is_out_of_reach_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no tokenizer for 'nobody/nothing'"):
        load_tokenizer("nobody/nothing")
    with pytest.raises(ConfigurationError, match="no tokenizer for 'not a/valid/name/at all'"):
        load_tokenizer("not a/valid/name/at all")


def test_broken_folders(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"has no tokenizer\.json"):
        load_tokenizer("m", str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_tokenizer("m", str(tmp_path))
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(ConfigurationError, match="no JSON"):
        load_tokenizer("m", str(tmp_path))


def test_the_files_of_the_hubs_cache_are_found_without_a_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
) -> None:
    snapshot = tmp_path / "models--some--model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--some--model" / "refs").mkdir()
    (tmp_path / "models--some--model" / "refs" / "main").write_text("abc")
    for file in folder.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert load_tokenizer("some/model").eos_token == "<eos>"


def test_transformers_own_object_on_request(folder: Path) -> None:
    real = load_tokenizer("any/model", str(folder), backend="transformers")
    assert type(real).__module__.startswith("transformers")
    assert real is load_tokenizer("any/model", str(folder), backend="transformers")
    assert real.encode("hello world") == load_tokenizer("any/model", str(folder)).encode("hello world")
    with pytest.raises(ValueError, match="'tokenizers' or 'transformers'"):
        load_tokenizer("any/model", str(folder), backend="rust")  # type: ignore[arg-type]  # on purpose


def test_fault_50_a_pinned_revision_is_told_and_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "transformers.AutoTokenizer.from_pretrained", lambda _name, **options: asked.append(options) or "made"
    )
    monkeypatch.delenv("TINKER_TRUST_REMOTE_CODE", raising=False)
    monkeypatch.setattr(tokenizers_of_ours, "tiktoken_is_there", lambda: False)
    with pytest.raises(ConfigurationError, match="is Python code, revision newer"):
        load_tokenizer("moonshotai/Kimi-K3", revision="newer")
    _run.cache_clear()
    assert load_tokenizer("moonshotai/Kimi-K3", revision="newer", trust_remote_code=True) == "made"
    _run.cache_clear()
    assert [options["revision"] for options in asked] == ["newer"]
