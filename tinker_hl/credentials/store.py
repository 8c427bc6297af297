"""The stored login: named API keys in `~/.tinker/credentials.json`, one of them the default.

The file is the official command line's, so that a login of either serves both. It holds live keys: it is written with
mode 0600 in a directory of mode 0700, aside and renamed, so that nobody ever reads half of it. What this module does
not know in it is kept as it is.
"""

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import orjson

from tinker_hl.errors import ConfigurationError

__all__ = ["CredentialStore", "KeyKind", "StoredKey", "default_path"]

VERSION = 1
KeyKind = Literal["manual", "generated"]
"""`manual`: the user pasted it in; `generated`: it was made for this machine, which deletes it when it logs out."""


def default_path() -> Path:
    """Where the stored login is."""
    return Path.home() / ".tinker" / "credentials.json"


@attrs.frozen(kw_only=True)
class StoredKey:
    """One key of the file. Its `repr` does not show the key."""

    key: str = attrs.field(repr=False)
    name: str
    kind: KeyKind = "manual"
    note: str | None = None
    org_name: str | None = None
    user_email: str | None = None

    def record(self) -> dict[str, Any]:
        """The same as it stands in the file."""
        record: dict[str, Any] = {"type": self.kind, "key": self.key, "name": self.name}
        if self.note is not None:
            record["note"] = self.note
        if self.org_name is not None or self.user_email is not None:
            record["details"] = {
                "org_details": {"name": self.org_name or ""},
                "user_details": {"email": self.user_email or ""},
            }
        return record

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "StoredKey":
        """From the file. Raises `KeyError`, `TypeError` or `AttributeError` where it is not what it should be."""
        details = record.get("details") or {}
        if record["type"] not in ("manual", "generated"):
            raise TypeError("type")
        return cls(
            key=_text(record["key"], "key"),
            name=_text(record["name"], "name"),
            kind=record["type"],
            note=record.get("note"),
            org_name=details.get("org_details", {}).get("name"),
            user_email=details.get("user_details", {}).get("email"),
        )


class CredentialStore:
    """See the module. It reads the file anew each time, so that another process's login counts at once.

    Invariant: the file is either what it was or what was written, never a part of it.

    Args:
        path: None for `~/.tinker/credentials.json`.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path) if path is not None else default_path()

    def keys(self) -> dict[str, StoredKey]:
        """All keys by their id; {} if there is no file.

        Raises:
            ConfigurationError: The file is not what it should be, or cannot be read.
        """
        return self._parsed(self._load())

    def default_id(self) -> str | None:
        """The id of the default key; None if there is none."""
        document = self._load()
        return document["default"] if document.get("default") in self._parsed(document) else None

    def default_key(self) -> StoredKey | None:
        """The default key, if there is one."""
        document = self._load()
        return self._parsed(document).get(document.get("default") or "")

    def add(self, key_id: str, key: StoredKey, *, default: bool = False) -> None:
        """Keep a key under an id, in place of another one there; `default` makes it the default too."""
        document = self._checked()
        document["keys"][key_id] = key.record()
        if default:
            document["default"] = key_id
        self._save(document)

    def set_default(self, key_id: str | None) -> None:
        """Make a key the default; None for no default. Raises `KeyError` if there is no such key."""
        document = self._checked()
        if key_id is not None and key_id not in document["keys"]:
            raise KeyError(key_id)
        document["default"] = key_id
        self._save(document)

    def delete(self, key_id: str) -> None:
        """Forget a key, also as the default. Raises `KeyError` if there is no such key."""
        document = self._checked()
        del document["keys"][key_id]
        if document.get("default") == key_id:
            document["default"] = None
        self._save(document)

    def _checked(self) -> dict[str, Any]:
        """The document, once it is certain that nothing in it would be lost."""
        document = self._load()
        self._parsed(document)
        return document

    def _load(self) -> dict[str, Any]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {"version": VERSION, "default": None, "keys": {}}
        except OSError as error:
            raise self._broken(error.strerror or type(error).__name__) from error
        try:
            document = orjson.loads(content)
        except ValueError:
            # The parser's message can quote the file, and so a key.
            raise self._broken("it is no JSON") from None
        if not isinstance(document, dict) or not isinstance(document.setdefault("keys", {}), dict):
            raise self._broken("it is no object with an object `keys`")
        if document.setdefault("version", VERSION) != VERSION:
            raise self._broken(f"its version is {document['version']!r}, and only {VERSION} is known")
        return document

    def _parsed(self, document: Mapping[str, Any]) -> dict[str, StoredKey]:
        keys = {}
        for key_id, record in document["keys"].items():
            try:
                keys[key_id] = StoredKey.of_record(record)
            except (KeyError, TypeError, AttributeError):
                # What is there instead may be the key itself.
                raise self._broken(f"entry {key_id!r} is no object with a type, a key and a name") from None
        return keys

    def _broken(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"the stored login {self.path} cannot be used: {why}",
            hint="Mend or remove the file and log in again, or set TINKER_API_KEY.",
        )

    def _save(self, document: Mapping[str, Any]) -> None:
        directory = self.path.parent
        if not directory.is_dir():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The mode of mkdir is cut by the umask.
            directory.chmod(0o700)
        # mkstemp makes the file with mode 0600, whatever the umask.
        descriptor, name = tempfile.mkstemp(dir=directory, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(orjson.dumps(document, option=orjson.OPT_INDENT_2))
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise


def _text(value: object, field: str) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(field)
    return value
