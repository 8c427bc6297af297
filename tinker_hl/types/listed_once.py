"""The list that an array stands for, made when it is first asked for and then kept.

`functools.cached_property` does the same, but gives a class with slots a `__getattr__`, which made every attribute of
its instances three times as slow to read. It knows nothing of what is in the array.
"""

from typing import Any

from numpy.typing import NDArray

__all__ = ["ListedOnce"]


class ListedOnce:
    """A base of records whose one array is also read as a list; their arrays do not change."""

    __slots__ = ("_list",)

    _list: list[Any]

    def _listed(self, array: NDArray[Any]) -> list[Any]:
        """The array's values, flat: always the same list."""
        try:
            return self._list
        except AttributeError:
            made: list[Any] = array.reshape(-1).tolist()
            object.__setattr__(self, "_list", made)  # past attrs, for the record is frozen
            return made
