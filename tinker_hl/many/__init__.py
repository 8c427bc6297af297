"""Many samples at once: in order or as they come, going on after a crash, cached, within a budget. docs/many.md.

Importing it is cheap: every name is loaded from its module on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinker_hl.many.cache import ResultCache as ResultCache
    from tinker_hl.many.ledger import BudgetExceededError as BudgetExceededError
    from tinker_hl.many.ledger import TokenLedger as TokenLedger
    from tinker_hl.many.sampling import SampleOutcome as SampleOutcome
    from tinker_hl.many.sampling import sample_many as sample_many
    from tinker_hl.many.sampling import sample_many_async as sample_many_async
    from tinker_hl.many.sink import SinkError as SinkError
    from tinker_hl.many.task import SampleTask as SampleTask
    from tinker_hl.many.timeline import Timeline as Timeline

_NAMES_BY_MODULE = {
    "cache": ("ResultCache",),
    "ledger": ("BudgetExceededError", "TokenLedger"),
    "sampling": ("SampleOutcome", "sample_many", "sample_many_async"),
    "sink": ("SinkError",),
    "timeline": ("Timeline",),
    "task": ("SampleTask",),
}
_PLACES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}

__all__ = [*_PLACES]  # pyright: ignore[reportUnsupportedDunderAll]  # each is loaded by __getattr__


def __getattr__(name: str) -> Any:
    """Load a public name from its module, once."""
    if name not in _PLACES:
        raise AttributeError(f"module 'tinker_hl.many' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"tinker_hl.many.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
