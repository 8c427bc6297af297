"""What `lint` finds in datums, and what it leaves in peace."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl.errors import ConfigurationError
from tinker_hl.linting import Finding, lint, lint_rows, read_rows
from tinker_hl.recipes.pairs import DataFileError
from tinker_hl.types import Datum, ImageChunk, ModelInput, TensorData

TOKENS = [10, 11, 12, 13, 14, 15, 16, 17]


def datum(tokens: list[int] | None = None, **inputs: Any) -> Datum:
    """Eight tokens with the right targets, but for what is given."""
    tokens = TOKENS if tokens is None else tokens
    shifted = [*tokens[1:], 18]
    return Datum(ModelInput.from_ints(tokens), {"target_tokens": shifted, "weights": [1.0] * len(tokens)} | inputs)


def found(*data: Datum, **bounds: Any) -> list[tuple[str, str]]:
    return [(finding.severity, finding.rule) for finding in lint(data, **bounds)]


@given(st.lists(st.integers(0, 99), min_size=2, max_size=40), st.data())
def test_a_right_datum_is_left_in_peace(tokens: list[int], data: st.DataObject) -> None:
    """Whatever its tokens and weights are, unless all of those are 0."""
    weights = data.draw(
        st.lists(st.sampled_from([0.0, 0.5, 1.0, -1.0]), min_size=len(tokens) - 1, max_size=len(tokens) - 1)
    )
    one = Datum(ModelInput.from_ints(tokens[:-1]), {"target_tokens": tokens[1:], "weights": weights})
    expected = [] if any(weights) else [("warning", "zero-weights")]
    assert found(one, loss_fn="cross_entropy", vocabulary_size=100, max_length=40) == expected


@pytest.mark.parametrize(
    ("spoilt", "rule", "said"),
    [
        ({"target_tokens": TOKENS}, "shift", "the targets are the input itself"),
        ({"target_tokens": [12, 13, 14, 15, 16, 17, 18, 19]}, "shift", "moved by 2"),
        ({"target_tokens": [9, *TOKENS[:-1]]}, "shift", "moved by -1"),
        ({"target_tokens": TOKENS[:-1]}, "invalid", "shape [7] does not fit 8 positions"),
        ({"weights": [float("nan")] + [1.0] * 7}, "invalid", "nan at element 0 is not finite"),
        (
            {"target_tokens": [*TOKENS[1:], 100]},
            "vocabulary",
            "the id 100 at 7; the vocabulary ends at 99",
        ),
        ({"target_tokens": [*TOKENS[1:], -1]}, "vocabulary", "the id -1 at 7; ids begin at 0"),
        ({"target_tokens": TensorData([*map(float, TOKENS[1:]), 18.0], "float32")}, "dtype", "int64 is needed"),
        ({"weights": TensorData([1] * 8, "int64")}, "dtype", "float32 is needed"),
        ({"weights": [0.0] * 8}, "zero-weights", "all weights are 0"),
        ({"logprobs": [-1.0] * 7 + [0.5]}, "logprobs", "0.5 at 7"),
        ({"logprobs": [float("nan")] * 8}, "invalid", "nan at element 0 is not finite"),
        ({"advantages": [0.0] * 8}, "zero-advantages", "all advantages are 0"),
    ],
)
def test_each_fault_is_found_and_nothing_else(spoilt: dict[str, Any], rule: str, said: str) -> None:
    (finding,) = lint([datum(), datum(TOKENS, **spoilt)], vocabulary_size=100)
    assert (finding.rule, finding.index, finding.line) == (rule, 1, None)
    assert said in finding.message


def test_what_is_known_of_the_model_and_the_loss() -> None:
    assert found(datum(), vocabulary_size=17) == [("error", "vocabulary"), ("error", "vocabulary")]
    assert found(datum(), max_length=7) == [("error", "too-long")]
    assert found(datum(), loss_fn="ppo") == [("error", "invalid")]
    bare = Datum(ModelInput.from_ints(TOKENS), {"target_tokens": [*TOKENS[1:], 18]})
    assert found(bare, loss_fn="cross_entropy") == [("note", "no-weights")]
    assert found(bare) == []


def test_a_shift_is_told_by_what_the_loss_looks_at() -> None:
    targets = [*TOKENS[:4], *TOKENS[5:], 18]  # the prompt's are wrong, and count nothing
    assert found(datum(TOKENS, target_tokens=targets, weights=[0.0] * 4 + [1.0] * 4)) == []
    assert found(datum(TOKENS, target_tokens=[*TOKENS[1:4], 99, *TOKENS[5:], 18])) == [("note", "shift")]
    assert found(datum([7] * 8, target_tokens=[7] * 8)) == [], "equal tokens show no shift"
    assert found(datum([1, 2], target_tokens=[1, 2], weights=[1.0, 1.0])) == [("note", "shift")], "too few to be sure"


def test_what_has_several_targets_or_an_image_is_not_held_to_the_shift() -> None:
    several = Datum(ModelInput.from_ints([1, 2, 3]), {"target_tokens": np.ones((3, 4), np.int64)})
    image = ImageChunk(data=b"x", format="png", expected_tokens=5)
    pictured = Datum(ModelInput(chunks=[image]), {"target_tokens": [1, 2, 3, 4, 5]})
    assert found(several, pictured) == []


def test_what_is_there_twice() -> None:
    findings = lint([datum(), datum([1, 2, 3]), datum()])
    assert [(finding.rule, finding.index) for finding in findings] == [("duplicate", 2)]
    assert findings[0].message == "the same as datum 0"


class Letters:
    eos_token_id = 0

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, token_ids: Any, *, skip_special_tokens: bool = False) -> str:
        return "".join(map(chr, token_ids))


def test_a_file_of_datums_pairs_and_faults(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    lines = [
        datum().model_dump_json(),
        json.dumps({"model_input": TOKENS, "loss_fn_inputs": {"target_tokens": [*TOKENS[1:], 19]}}),
        "",
        json.dumps({"prompt": "ab", "completion": "c"}),
        json.dumps({"prompt": "ab"}),
        "nonsense",
        json.dumps({"model_input": TOKENS, "loss_fn_inputs": {"target_tokens": ["x"]}}),
        json.dumps({"model_input": TOKENS, "loss_fn_inputs": 7}),
    ]
    path.write_bytes("\n".join(lines).encode() + b"\n\xff\n")
    rows = list(read_rows(path, Letters()))
    assert [row.line for row in rows] == [1, 2, 4, 5, 6, 7, 8, 9]
    assert [row.datum is None for row in rows] == [False, False, False, True, True, True, True, True]
    assert rows[0].datum == datum()
    assert rows[2].datum is not None
    assert rows[2].datum.loss_fn_inputs["weights"].tolist() == [0.0, 1.0, 1.0]
    findings: list[Finding] = list(lint_rows(rows))
    assert [(finding.rule, finding.line) for finding in findings] == [("unreadable", line) for line in (5, 6, 7, 8, 9)]
    assert '"completion" is missing' in findings[0].message
    with pytest.raises(ConfigurationError, match="line 4: a pair of texts needs a tokenizer"):
        list(read_rows(path))
    with pytest.raises(DataFileError, match="cannot be read"):
        list(read_rows(tmp_path))
