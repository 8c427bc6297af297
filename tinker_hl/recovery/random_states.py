"""The states of random generators as JSON, and back: Python's, numpy's, torch's. It knows no run."""

import base64
import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinker_hl.errors import ConfigurationError

__all__ = ["Generator", "random_states", "restore_random_states"]

Generator = Any
"""A `random.Random`, a `numpy.random.Generator` or `RandomState`, a `torch.Generator`, or the module `random`."""


def random_states(generators: Mapping[str, Generator]) -> dict[str, Any]:
    """What each generator will go on from.

    Raises:
        ConfigurationError: Something that is no known generator; it names it.
    """
    return {name: _state(name, generator) for name, generator in generators.items()}


def restore_random_states(generators: Mapping[str, Generator], states: Mapping[str, Any]) -> None:
    """Put generators where they were. One that has no state yet stays as it is."""
    for name, generator in generators.items():
        if name in states:
            _restore(name, generator, states[name])


def _state(name: str, generator: Generator) -> Any:
    if isinstance(generator, random.Random) or generator is random:
        version, numbers, gauss = generator.getstate()
        return [version, list(numbers), gauss]
    if isinstance(generator, np.random.Generator):
        return _plain(generator.bit_generator.state)
    if isinstance(generator, np.random.RandomState):
        return _plain(generator.get_state(legacy=False))
    if _is_torch(generator):
        return base64.b64encode(generator.get_state().numpy().tobytes()).decode()
    raise ConfigurationError(
        f"generators[{name!r}] must be a random.Random, a numpy or a torch generator, got {type(generator).__name__}"
    )


def _restore(name: str, generator: Generator, state: Any) -> None:
    if isinstance(generator, random.Random) or generator is random:
        version, numbers, gauss = state
        generator.setstate((version, tuple(numbers), gauss))
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = _arrays(state)
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(_arrays(state))
    elif _is_torch(generator):
        import torch

        generator.set_state(torch.frombuffer(bytearray(base64.b64decode(state)), dtype=torch.uint8))
    else:
        _state(name, generator)


def _is_torch(generator: Generator) -> bool:
    return type(generator).__module__.startswith("torch") and hasattr(generator, "get_state")


def _plain(value: Any) -> Any:
    """Arrays as tagged lists; whole numbers beyond 64 bits, which JSON writers refuse, as tagged text."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, int) and value.bit_length() > 63:
        return {"integer": str(value)}
    return value


def _arrays(value: Any) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"array", "dtype"}:
            return np.array(value["array"], dtype=value["dtype"])
        if set(value) == {"integer"}:
            return int(value["integer"])
        return {key: _arrays(inner) for key, inner in value.items()}
    return value
