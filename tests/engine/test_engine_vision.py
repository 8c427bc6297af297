"""Images: a tiny vision-language model, made here, against transformers' own use of it."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from tinker_local.engine import vision
from tinker_local.engine.core import EngineCore
from tinker_local.engine.protocol import (
    AdamSettings,
    ImageInput,
    LoraSpec,
    SampleJob,
    SampleOutput,
    TrainingDatum,
    TrainingOutput,
    UserFaultError,
)
from tinker_local.settings import ModelSource

IMAGE_TOKEN = 3
SPAN = 4
"""16 x 16 pixels in patches of 8 x 8."""


@pytest.fixture(scope="session")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llava")
    text = transformers.LlamaConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    eye = transformers.CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
        initializer_range=0.3,
    )
    config = transformers.LlavaConfig(
        vision_config=eye,
        text_config=text,
        image_token_index=IMAGE_TOKEN,
        image_seq_length=SPAN,
        vision_feature_layer=-1,
    )
    torch.manual_seed(7)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_file(folder)), pad_token="<pad>")
    transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessor(
            size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
        ),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    return folder


def tokenizer_file(folder: Path) -> Path:
    vocabulary = {"<pad>": 0, "<eos>": 1, "<unk>": 2, "<image>": IMAGE_TOKEN, **{chr(33 + i): 4 + i for i in range(90)}}
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    content: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [{"id": IMAGE_TOKEN, "content": "<image>", **special}],
        "normalizer": None,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False},
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    }
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def seeing(llava: Path) -> EngineCore:
    core = EngineCore()
    (info,) = core.start([ModelSource(name="llava", path=str(llava))], None, "cpu", None)
    assert info.reads_images
    return core


def picture(seed: int, file_format: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 26, 3), dtype=np.uint8)
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, file_format)
    return made.getvalue()


def image_at(start: int, data: bytes, length: int = SPAN) -> ImageInput:
    return ImageInput(start=start, length=length, data=np.frombuffer(data, dtype=np.uint8))


def datum(before: list[int], data: bytes, after: list[int], length: int = SPAN) -> TrainingDatum:
    tokens = np.array([*before, *[0] * length, *after], dtype=np.int32)
    targets = np.array([*tokens[1:], 9], dtype=np.int64)
    weights = np.array([0.0] * (len(before) + length - 1) + [1.0] * (len(after) + 1), dtype=np.float32)
    image = image_at(len(before), data, length)
    return TrainingDatum(tokens=tokens, target_tokens=targets, inputs={"weights": weights}, images=(image,))


def text_datum(*tokens: int) -> TrainingDatum:
    targets = np.array([*tokens[1:], 9], dtype=np.int64)
    inputs = {"weights": np.ones(len(tokens), dtype=np.float32)}
    return TrainingDatum(tokens=np.array(tokens, dtype=np.int32), target_tokens=targets, inputs=inputs)


def run(core: EngineCore, *data: TrainingDatum) -> TrainingOutput:
    passing = core.forward_backward("m", data, "cross_entropy", {}, backward=True)
    while True:
        try:
            next(passing)
        except StopIteration as stop:
            output: TrainingOutput = stop.value
            return output


def plain_logprobs(folder: Path, before: list[int], data: bytes, after: list[int]) -> torch.Tensor:
    """Of each next token, as transformers computes it from text and pixels."""
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    pixels = processor.image_processor(Image.open(io.BytesIO(data)).convert("RGB"), return_tensors="pt")["pixel_values"]
    tokens = torch.tensor([[*before, *[IMAGE_TOKEN] * SPAN, *after]])
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=tokens, pixel_values=pixels).logits[0]
    return logits.log_softmax(-1)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_logprobs_are_those_of_the_whole_model(seeing: EngineCore, llava: Path, file_format: str) -> None:
    seeing.create_adapter("m", "llava", LoraSpec(rank=2, seed=1))
    data = picture(1, file_format)
    given = datum([5, 6], data, [7, 8, 10])
    (found,) = run(seeing, given).logprobs
    expected = plain_logprobs(llava, [5, 6], data, [7, 8, 10])
    own = expected.gather(1, torch.from_numpy(given.target_tokens)[:, None]).squeeze(1)
    counted = given.inputs["weights"] > 0
    np.testing.assert_allclose(found[counted], own.numpy()[counted], atol=1e-5)


def test_batches_mix_images_and_text_and_the_order_does_not_matter(seeing: EngineCore) -> None:
    seeing.create_adapter("m", "llava", LoraSpec(rank=2, seed=1))
    data = [
        datum([5], picture(1), [7, 8]),
        text_datum(4, 5, 6, 7, 8),
        datum([5], picture(2), [7, 8]),
        datum([5, 9], picture(1), [7]),
    ]
    together = run(seeing, *data).logprobs
    for given, found in zip(data, together, strict=True):
        np.testing.assert_allclose(run(seeing, given).logprobs[0], found, atol=1e-5)
    assert not np.allclose(together[0], together[2]), "another image, other logprobs"


def test_an_adapter_learns_from_images_and_leaves_the_vision_tower_alone(seeing: EngineCore, tmp_path: Path) -> None:
    seeing.create_adapter("m", "llava", LoraSpec(rank=4, seed=1))
    data = [datum([5], picture(1), [20, 21]), datum([5], picture(2), [30, 31])]
    losses = []
    for _ in range(30):
        losses.append(run(seeing, *data).metrics["loss:sum"])
        seeing.optim_step("m", AdamSettings(learning_rate=2e-2))
    assert losses[-1] < 0.2 * losses[0]
    assert all("vision" not in site.name for site in seeing.bases["llava"].sites)
    seeing.save_adapter("m", str(tmp_path), optimizer=False)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert all("vision" not in name for name in config["target_modules"])


def sample(core: EngineCore, job: SampleJob) -> SampleOutput:
    answers: list[Any] = []
    core.sampling.add(job, answers.append)
    while core.sampling.busy:
        core.sampling.advance()
    assert isinstance(answers[0], SampleOutput), answers[0]
    return answers[0]


def test_samples_see_the_image_and_prompts_are_scored_as_in_training(seeing: EngineCore, llava: Path) -> None:
    seeing.create_sampler("s", "llava", None, None)
    prompt = np.array([5, *[0] * SPAN, 7, 8], dtype=np.int32)
    drawn = {}
    for seed in (1, 2):
        data = picture(seed)
        job = SampleJob(
            job_id=str(seed),
            sampler_id="s",
            prompt=prompt,
            images=(image_at(1, data),),
            temperature=0.0,
            max_tokens=3,
            stop_at_eos=False,
            prompt_logprobs=True,
        )
        output = sample(seeing, job)
        drawn[seed] = output.sequences[0]
        expected = plain_logprobs(llava, [5], data, [7, 8])
        assert output.sequences[0].tokens[0] == int(expected[-1].argmax())
        assert output.prompt_logprobs is not None
        assert np.isnan(output.prompt_logprobs[: SPAN + 1]).all(), "no token stands where the image does"
        assert output.prompt_logprobs[SPAN + 1] == pytest.approx(float(expected[SPAN, 7]), abs=1e-5)
        assert output.prompt_logprobs[SPAN + 2] == pytest.approx(float(expected[SPAN + 1, 8]), abs=1e-5)
        again = plain_logprobs(llava, [5], data, [7, 8, *map(int, output.sequences[0].tokens[:2])])
        assert output.sequences[0].tokens[2] == int(again[-1].argmax()), "the image stays in the cache"
    assert not np.allclose(drawn[1].logprobs, drawn[2].logprobs)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (datum([5], b"no picture", [7]), "datum 1: an image could not be read as PNG or JPEG"),
        (datum([5], picture(1)[:80], [7]), "datum 1: an image could not be read as PNG or JPEG"),
        (datum([5], picture(1, "GIF"), [7]), "datum 1: an image could not be read as PNG or JPEG"),
        (datum([5], picture(1), [7], length=5), "datum 1: the image at position 1 has expected_tokens 5, and takes 4"),
    ],
)
def test_an_image_that_cannot_be_used_changes_nothing(seeing: EngineCore, given: TrainingDatum, message: str) -> None:
    seeing.create_adapter("m", "llava", LoraSpec(rank=2, seed=1))
    with pytest.raises(UserFaultError, match=message):
        run(seeing, text_datum(4, 5), given)
    assert seeing.adapters["m"].gradient is None


def test_an_image_of_too_many_pixels_is_refused_unread(seeing: EngineCore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision, "MAX_PIXELS", 500)
    seeing.create_adapter("m", "llava", LoraSpec(rank=2, seed=1))
    with pytest.raises(UserFaultError, match="26 x 20 pixels; at most 500"):
        run(seeing, datum([5], picture(3), [7]))


def test_a_model_for_text_refuses_images(core: EngineCore) -> None:
    core.create_adapter("m", "qwen", LoraSpec(rank=2))
    with pytest.raises(UserFaultError, match="datum 0: the model reads text alone"):
        run(core, datum([5], picture(1), [7]))


def test_a_model_that_does_more_with_images_is_served_for_text(llava: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision, "embed", lambda model, tokens, _: model.get_input_embeddings()(tokens))
    core = EngineCore()
    (info,) = core.start([ModelSource(name="llava", path=str(llava))], None, "cpu", None)
    assert not info.reads_images
    core.create_adapter("m", "llava", LoraSpec(rank=2))
    assert run(core, text_datum(4, 5, 6)).metrics["loss:sum"] > 0


def test_the_last_images_are_remembered(seeing: EngineCore, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = seeing.bases["llava"].images
    assert reader is not None
    read: list[int] = []
    plain = reader._read
    monkeypatch.setattr(reader, "_read", lambda image: read.append(1) or plain(image))
    monkeypatch.setattr(vision, "_REMEMBERED", 2)
    for seed in (11, 12, 11, 13, 11, 12):
        reader.span(picture(seed))
    assert len(read) == 4, "12 was forgotten when 13 came, and 11 was used since"
