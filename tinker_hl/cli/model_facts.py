"""What a data file has to fit: a model's tokenizer and context, from the server, or from a folder or the hub."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from tinker_hl.cli.failures import told
from tinker_hl.cli.output import note
from tinker_hl.cli.reach import Reach

if TYPE_CHECKING:
    from tinker_hl.tokenizer import Tokenizer

__all__ = ["ModelFacts", "model_facts"]


@attrs.frozen
class ModelFacts:
    """None is unknown."""

    tokenizer: "Tokenizer | None" = None
    max_length: int | None = None

    @property
    def vocabulary_size(self) -> int | None:
        """Ids are below it."""
        return None if self.tokenizer is None else len(self.tokenizer)


def model_facts(reach: Reach, name: str | None) -> ModelFacts:
    """Look a model up.

    Args:
        reach: The server to ask.
        name: One of its base models, a folder, or a name on the hub; None knows nothing.

    Raises:
        ConfigurationError: Nobody has a tokenizer of that name.
    """
    if name is None:
        return ModelFacts()
    from tinker_hl.tokenizer import load_tokenizer

    served = None if Path(name).is_dir() else _served(reach, name)
    if served is None:
        return ModelFacts(load_tokenizer(name))
    return ModelFacts(load_tokenizer(name, served.tokenizer_id), served.max_context_length)


def _served(reach: Reach, name: str) -> Any:
    """The server's record of the model; None if it has none, or there is no server to ask."""
    from tinker_hl.errors import APIConnectionError, AuthenticationError, ConfigurationError

    try:
        models = reach.wait(reach.rest().get_server_capabilities()).supported_models
    except ConfigurationError:
        return None
    except (APIConnectionError, AuthenticationError) as error:
        note(f"{told(error)}; {name!r} is looked up on the hub instead.")
        return None
    return next((model for model in models if model.model_name == name), None)
