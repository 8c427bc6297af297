"""A tokenizer's files: what stands in them, read together, and written again.

It knows their names and that they are JSON or Jinja, nothing of vocabularies.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tinker_hl.errors import ConfigurationError

__all__ = ["MAIN_FILE", "OTHER_FILES", "RANKS_FILE", "SETTINGS_FILE", "read_json", "settings_of", "write"]

MAIN_FILE: Final = "tokenizer.json"
RANKS_FILE: Final = "tiktoken.model"
SETTINGS_FILE: Final = "tokenizer_config.json"
SPECIAL_FILE: Final = "special_tokens_map.json"
TEMPLATE_FILE: Final = "chat_template.jinja"
OTHER_FILES: Final = (SETTINGS_FILE, SPECIAL_FILE, TEMPLATE_FILE)


def settings_of(files: Mapping[str, Path]) -> dict[str, Any]:
    """What `tokenizer_config.json` and the files that complete it say together.

    Raises:
        ConfigurationError: a file is no JSON.
    """
    settings: dict[str, Any] = {}
    for file in (SPECIAL_FILE, SETTINGS_FILE):
        if file in files:
            settings |= {key: value for key, value in read_json(files[file]).items() if value is not None}
    if TEMPLATE_FILE in files:
        settings["chat_template"] = files[TEMPLATE_FILE].read_text(encoding="utf-8")
    return settings


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; an empty one if something else is in it. Raises `ConfigurationError` if it is no JSON."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{path} is no JSON: {error}") from error
    return value if isinstance(value, dict) else {}


def write(folder: Path, backend: Any, settings: Mapping[str, Any], template: Any) -> tuple[str, ...]:
    """Write a tokenizer into a folder, which is made if it is not there.

    Args:
        folder: what was there under the same names is replaced.
        backend: has `save(path)`; a vocabulary of ranks names its own file by `file_name`.
        settings: for `tokenizer_config.json`.
        template: Jinja source, several of them by name, or None.

    Returns:
        The paths of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    main = folder / getattr(backend, "file_name", MAIN_FILE)
    backend.save(str(main))
    kept = {key: value for key, value in settings.items() if key != "chat_template" or not isinstance(template, str)}
    (folder / SETTINGS_FILE).write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    written = [main, folder / SETTINGS_FILE]
    if isinstance(template, str):
        (folder / TEMPLATE_FILE).write_text(template, encoding="utf-8")
        written.append(folder / TEMPLATE_FILE)
    return tuple(map(str, written))
