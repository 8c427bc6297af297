"""`ResultCache`: results of seeded samples and of scored prompts on disk, under the hash of what was asked.

A result is kept only if asking again would give the same. Several processes may use one folder: a file is written aside
and renamed, and one that cannot be read is no result. A disk that takes none costs a question more, and no job. It does
not know what identifies weights; who asks says so.
"""

import contextlib
import logging
import os
import threading
from pathlib import Path

from tinker_hl.types import SampleResponse

__all__ = ["ResultCache"]

logger = logging.getLogger("tinker_hl")


class ResultCache:
    """A folder of results.

    Args:
        folder: Made if need be.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self.hits = 0
        """Results that were found."""
        self.misses = 0
        """Results that were not."""

    def get(self, key: str) -> SampleResponse | None:
        """The result under a key, or None."""
        try:
            found = SampleResponse.model_validate_json(self._place(key).read_bytes())
        except (OSError, ValueError, TypeError, KeyError):
            found = None
        with self._lock:
            if found is None:
                self.misses += 1
            else:
                self.hits += 1
        return found

    def put(self, key: str, response: SampleResponse) -> None:
        """Keep a result, if the disk takes it."""
        place = self._place(key)
        aside = place.with_name(f"{place.name}.{os.getpid()}.{threading.get_ident()}.new")
        try:
            place.parent.mkdir(exist_ok=True)
            aside.write_text(response.model_dump_json(), encoding="utf-8")
            aside.replace(place)
        except OSError as error:
            logger.warning("a result was not kept in the cache: %s", error)
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)

    def __len__(self) -> int:
        return sum(1 for _ in self._folder.glob("??/*.json"))

    def clear(self) -> None:
        """Forget all results."""
        for place in self._folder.glob("??/*"):
            place.unlink(missing_ok=True)

    def _place(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"
