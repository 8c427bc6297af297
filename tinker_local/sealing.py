"""Files of a folder encrypted with age, so that only the named recipients can read them. It does not know checkpoints.

The format is age (https://age-encryption.org/v1), the library pyrage; it is an extra, since few need it. Files are
encrypted one piece after the other, in constant memory.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinker_local import durable
from tinker_local.errors import ApiError, bad_request

__all__ = ["SUFFIX", "Seal"]

SUFFIX = ".age"
_SHOWN = 24
"""Characters of a recipient that an error repeats: enough to find it in a list."""


class Seal:
    """The recipients of one folder, each of them checked."""

    def __init__(self, recipients: Sequence[str]) -> None:
        """Read the recipients: `age1...`, or SSH public keys (ed25519 or RSA).

        Raises:
            ApiError: 400 if one of them is neither, or pyrage is not installed.
        """
        try:
            import pyrage
        except ImportError:
            raise ApiError(
                400,
                "age_not_installed",
                "age_encryption_recipients needs pyrage where the service runs: pip install 'tinker-hl[age]'",
            ) from None
        self._pyrage: Any = pyrage
        self._recipients = [self._parsed(number, text.strip()) for number, text in enumerate(recipients)]

    def close(self, directory: Path) -> None:
        """Encrypt every file of a folder; each is called what it was, and `.age`. The plain ones are gone then."""
        for plain in sorted(file for file in directory.iterdir() if file.is_file()):
            sealed = plain.with_name(plain.name + SUFFIX)
            # Given files, not paths: between pieces others get the interpreter, so that the service goes on answering.
            with plain.open("rb") as source, sealed.open("wb") as target:
                self._pyrage.encrypt_io(source, target, self._recipients)
                durable.flush_file(target)
            plain.unlink()

    def _parsed(self, number: int, text: str) -> Any:
        kind = self._pyrage.ssh if text.startswith("ssh-") else self._pyrage.x25519
        try:
            return kind.Recipient.from_str(text)
        except self._pyrage.RecipientError as error:
            raise bad_request(
                f"age_encryption_recipients[{number}], {text[:_SHOWN]!r}, is neither an age1... recipient nor an SSH "
                f"public key: {error}",
                "bad_recipient",
            ) from None
