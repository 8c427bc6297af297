"""What automatic saves and the journal have on the disk together, and what gives way when that is too much.

A run's state and the calls since it are needed for as long as the run is open, so beyond the bound new runs and passes
are refused until steps, unloaded runs or finished sessions have made room. The weights of sampling sessions are needed
only if the engine dies: those go that were used least lately. When the calls have more than what is left, runs are
saved more often, for a save takes the place of the calls before it. It does not know what is in the files.
"""

from collections import OrderedDict
from collections.abc import Callable

from tinker_local.errors import too_many
from tinker_local.store.folders import Folders

__all__ = ["AutosaveRoom"]

_RETRY_AFTER = 5


class AutosaveRoom:
    """Bytes by run and by sampling session. Invariant: `_saved` is the sum of all of them."""

    def __init__(self, folders: Folders, journalled: Callable[[], int], most: int) -> None:
        """`journalled` tells the bytes of the calls in the journal, `most` how many there may be of all."""
        self._folders = folders
        self._journalled = journalled
        self._most = most
        self._states: dict[str, int] = {}
        self._snapshots: OrderedDict[str, int] = OrderedDict()
        """The one used least lately first."""
        self._saved = 0

    @property
    def size(self) -> int:
        """Bytes now."""
        return self._saved + self._journalled()

    @property
    def crowded(self) -> bool:
        """Whether the calls in the journal have more than what is left."""
        return self._journalled() > self._most - self.size

    def measure(self, is_sampler: Callable[[str], bool]) -> None:
        """Count what an earlier life left; it reads the folders."""
        for run_id, size in self._folders.sizes():
            (self.snapshot if is_sampler(run_id) else self.state)(run_id, size)

    def check(self, size: int = 0) -> None:
        """Raises `ApiError` 429 if there is no room for so many bytes more."""
        if self.size + size > self._most:
            raise too_many(
                f"automatic saves and the journal have {self.size} bytes, of at most {self._most} "
                "(max_autosave_bytes); take an optimizer step, unload runs or finish sessions",
                _RETRY_AFTER,
            )

    def state(self, model_id: str, size: int) -> None:
        """A run has a new state, in place of the one before."""
        self._saved += size - self._states.get(model_id, 0)
        self._states[model_id] = size

    def snapshot(self, sampler_id: str, size: int) -> None:
        """A sampling session has its weights here."""
        self._saved += size - self._snapshots.get(sampler_id, 0)
        self._snapshots[sampler_id] = size
        self.used(sampler_id)

    def used(self, sampler_id: str) -> None:
        """Somebody samples from it, whether it has anything here or not."""
        if sampler_id in self._snapshots:
            self._snapshots.move_to_end(sampler_id)

    def gone(self, run_id: str) -> None:
        """Nothing of this run or sampling session is here any more."""
        self._saved -= self._states.pop(run_id, 0) + self._snapshots.pop(run_id, 0)

    def excess(self) -> list[str]:
        """The sampling sessions whose weights must go now."""
        over = []
        while self._snapshots and self.size > self._most:
            sampler_id = next(iter(self._snapshots))
            self.gone(sampler_id)
            over.append(sampler_id)
        return over
