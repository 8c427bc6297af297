"""Where a model's tokenizer is, and its files: a local folder, the hub's cache, or the hub.

Knows names and files, nothing of what is in them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tinker_hl.errors import ConfigurationError
from tinker_hl.tokenizer.files import MAIN_FILE, OTHER_FILES, RANKS_FILE, SETTINGS_FILE, read_json
from tinker_hl.tokenizer.kimi import is_kimi
from tinker_hl.tokenizer.remote_code import RemoteCode

__all__ = ["files_of", "find", "resolve_tokenizer_id"]

_HINT: Final = (
    "Check the name and the network; a gated model needs HF_TOKEN. "
    "A folder with tokenizer.json works too: give it as the tokenizer id."
)

LLAMA_3: Final = "thinkingmachineslabinc/meta-llama-3-instruct-tokenizer"
"""An ungated copy; the original asks every user to accept a licence on the hub."""

COPIES: Final[Mapping[str, str]] = {"moonshotai/Kimi-K2.5-Text-Only": "moonshotai/Kimi-K2.5"}

NEEDS_CODE: Final[Mapping[str, str]] = {
    "moonshotai/Kimi-K2-Thinking": "612681931a8c906ddb349f8ad0f582cb552189cd",
    "moonshotai/Kimi-K2.5": "4d01dfe0332d63057c186e0b262165819efb6611",
    "moonshotai/Kimi-K2.6": "b5aabbfb20227ed42becbf5541dbffd213942c58",
    "moonshotai/Kimi-K3": "f831ab66814297da540d832a5235f8e904f29d06",
}
"""Tokenizers that are Python code on the hub, all of them Kimi's, with the revision that is known to be good."""


def resolve_tokenizer_id(model_name: str, tokenizer_id: str | None = None) -> str:
    """The folder or hub name to load.

    An explicit id wins. A name loses what follows its first `:`; Llama 3 has an ungated copy; `org/model/variant` is
    `org/model`.
    """
    for given in (tokenizer_id, model_name):
        if given and Path(given).is_dir():
            return given
    name = (tokenizer_id or model_name).partition(":")[0]
    if name in COPIES:
        return COPIES[name]
    if tokenizer_id:
        return name
    if name.startswith("meta-llama/Llama-3"):
        return LLAMA_3
    parts = name.split("/")
    return "/".join(parts[:2]) if len(parts) == 3 else name


def find(name: str, revision: str | None = None) -> Mapping[str, Path] | RemoteCode:
    """File name -> path, of those that are there; or what stands for a tokenizer that is code.

    Args:
        name: a folder or a hub name.
        revision: of the hub's repository; None is the newest, or the pin of a tokenizer that is code.

    Raises:
        ConfigurationError: there is no `tokenizer.json`, nor code instead of one.
    """
    folder = Path(name)
    if folder.is_dir():
        return _files_or_code(
            name,
            _present(folder),
            f"the folder {name} has no {MAIN_FILE}",
            "Transformers writes one: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER).",
        )
    if name.startswith(("TML/", "thinkingmachines/")):
        raise ConfigurationError(
            f"the tokenizer {name} comes in a package of its own",
            hint="Install tml-renderers (it brings tml_tokenizers) and load the tokenizer with it.",
        )
    if name in NEEDS_CODE:
        return RemoteCode(name, revision or NEEDS_CODE[name], reads_without=True)
    return _files_or_code(
        name, _from_hub(name, revision), f"the model {name} has no {MAIN_FILE} on the hub", _HINT, revision
    )


def _files_or_code(
    name: str, found: Mapping[str, Path], refusal: str, hint: str, revision: str | None = None
) -> Mapping[str, Path] | RemoteCode:
    if MAIN_FILE in found:
        return found
    settings = read_json(found[SETTINGS_FILE]) if SETTINGS_FILE in found else {}
    if "auto_map" in settings:
        return RemoteCode(name, revision, reads_without=is_kimi(found, settings))
    raise ConfigurationError(refusal, hint=hint)


def files_of(name: str, revision: str | None) -> Mapping[str, Path]:
    """File name -> path, of a tokenizer that is code, but can be read without.

    Raises:
        ConfigurationError: they are out of reach.
    """
    folder = Path(name)
    return _present(folder) if folder.is_dir() else _from_hub(name, revision)


def _from_hub(name: str, revision: str | None) -> Mapping[str, Path]:
    """From the hub's cache on this machine if it has both main files, so that a cached one needs no network."""
    from huggingface_hub import snapshot_download  # tokenizers depends on it; slow to import

    patterns = [MAIN_FILE, RANKS_FILE, *OTHER_FILES]
    try:
        cached = snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=True)
        found = _present(Path(cached))
    except (OSError, ValueError):
        found = {}  # not in the cache
    if SETTINGS_FILE in found and (MAIN_FILE in found or RANKS_FILE in found):
        return found
    try:
        found = _present(Path(snapshot_download(name, revision=revision, allow_patterns=patterns)))
    except (OSError, ValueError) as error:  # the hub's errors are kinds of these: no such name, no network
        raise ConfigurationError(_first_line(name, error), hint=_HINT) from error
    return found


def _present(folder: Path) -> dict[str, Path]:
    return {file: folder / file for file in (MAIN_FILE, RANKS_FILE, *OTHER_FILES) if (folder / file).is_file()}


def _first_line(name: str, error: Exception) -> str:
    return f"no tokenizer for {name!r}: {type(error).__name__}: {error}".splitlines()[0]
