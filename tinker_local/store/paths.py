"""`tinker://<run>/<kind>/<name>`: the names of saved weights, taken apart and put together. It reads no file."""

import re
from typing import Final

import attrs

from tinker_local.errors import bad_request

__all__ = ["EXTERNAL", "KINDS", "SAMPLER", "TRAINING", "CheckpointPath", "check_name"]

TRAINING: Final = "weights"
SAMPLER: Final = "sampler_weights"
EXTERNAL: Final = "external_weights"
KINDS: Final = {TRAINING: "training", SAMPLER: "sampler", EXTERNAL: "external"}
"""The middle of a path, and the checkpoint type that it stands for."""

_SCHEME = "tinker://"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,254}")


def check_name(name: str) -> str:
    """A checkpoint's name, if it may be one; raises `ApiError` 400."""
    if not _NAME.fullmatch(name):
        raise bad_request(
            f"{name[:80]!r} cannot name a checkpoint: use 1 to 255 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit",
            "bad_name",
        )
    return name


@attrs.frozen
class CheckpointPath:
    """A path whose three parts are safe to be names of folders."""

    run_id: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{_SCHEME}{self.run_id}/{self.kind}/{self.name}"

    @property
    def checkpoint_id(self) -> str:
        """The path within its run."""
        return f"{self.kind}/{self.name}"

    @classmethod
    def make(cls, run_id: str, kind: str, name: str) -> "CheckpointPath":
        """From its parts; raises `ApiError` 400 where one of them cannot be right."""
        if kind not in KINDS or not _RUN.fullmatch(run_id):
            raise bad_request(f"{run_id[:80]}/{kind[:80]} names no run's checkpoints", "bad_path")
        return cls(run_id, kind, check_name(name))

    @classmethod
    def parse(cls, text: str) -> "CheckpointPath":
        """From text; raises `ApiError` 400."""
        parts = text.removeprefix(_SCHEME).split("/")
        if not text.startswith(_SCHEME) or len(parts) != 3:
            raise bad_request(f"{text[:120]!r} is not of the form tinker://RUN/KIND/NAME", "bad_path")
        return cls.make(*parts)
