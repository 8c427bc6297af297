"""Named sets of times and limits: this client's own, and those of other clients of the protocol.

Who moves from another client may keep its rhythm (how long an attempt may take, how often it is made again, how data is
cut) while everything else stays as it is here. Whatever the profile, one retry policy with one deadline and one shared
budget holds, and what is a fault in another client is not copied: `docs/environments.md` lists both.

A profile is a value; it does nothing by itself.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from tinker_hl.errors import ConfigurationError
from tinker_hl.retry import RetryConfig, RetryPolicy

if TYPE_CHECKING:
    from tinker_hl.types import AdamParams

__all__ = ["ALIASES", "DEFAULT", "PROFILES", "Profile", "profile_named"]


@attrs.frozen(kw_only=True)
class Profile:
    """Times, in seconds, and limits of a client. `attrs.evolve(profile, ...)` makes one of your own."""

    name: str
    timeout: float = 60.0
    """For each attempt of a call, from its start to the last byte of the answer."""
    max_retries: int | None = None
    """Attempts after the first one; None for as many as the deadline and the budget allow. Polls go by time alone."""
    deadline: float = 300.0
    """No retry of a call later than this after its first attempt."""
    delay_base: float = 0.5
    """The longest wait before the first retry, which doubles with each one."""
    delay_max: float = 10.0
    """The longest wait before any retry."""
    jitter_factor: float | None = None
    """The share by which waits vary; None for full jitter."""
    progress_timeout: float = 7200.0
    """A sampling client none of whose samples ends for so long is stuck."""
    concurrent_samples: int = 1000
    """Samples of one sampling client under way at once."""
    max_connections: int = 1024
    """Sockets at once."""
    chunk_items: int | None = None
    """Datums of one request at most; None leaves it to the server, which is never asked for more than it takes."""
    chunk_size: int | None = None
    """Size of one request at most, in the units of `bytes_per_number`; None leaves it to the server."""
    bytes_per_number: int | None = None
    """What a token or a number of a loss input counts; None for its real size. Images and audio count their bytes."""
    poll_delay_base: float = 0.05
    """The first wait between polls that the server answers at once with "not yet"; it doubles with each one."""
    poll_delay_max: float = 1.0
    """The longest wait between such polls."""
    heartbeat_interval: float = 10.0
    """Between signs of life of a session."""
    heartbeat_warning: float = 120.0
    """Silence of the server after which missed heartbeats are a warning."""
    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12

    def policy(self) -> RetryPolicy:
        """How calls are retried."""
        return RetryPolicy(
            deadline=self.deadline,
            delay_base=self.delay_base,
            delay_max=self.delay_max,
            jitter_factor=self.jitter_factor,
            max_retries=self.max_retries,
        )

    def retry_config(self) -> RetryConfig:
        """How samples are drawn again."""
        return RetryConfig(
            max_connections=self.concurrent_samples,
            progress_timeout=self.progress_timeout,
            retry_delay_base=self.delay_base,
            retry_delay_max=self.delay_max,
            jitter_factor=RetryConfig.jitter_factor if self.jitter_factor is None else self.jitter_factor,
        )

    def adam_params(self, **changes: Any) -> "AdamParams":
        """The settings of an Adam step by this profile's defaults.

        Args:
            changes: Fields of `AdamParams` that shall be otherwise.
        """
        from tinker_hl.types import AdamParams

        own = {"learning_rate": self.learning_rate, "beta1": self.beta1, "beta2": self.beta2, "eps": self.eps}
        return AdamParams(**{**own, **changes})


DEFAULT: Final = Profile(name="default")

OFFICIAL_0_6: Final = Profile(
    name="official-0.6",
    max_retries=10,
    jitter_factor=0.25,
    progress_timeout=1800.0,
    concurrent_samples=100,
    max_connections=1000,
    chunk_items=128,
    chunk_size=500_000,
    bytes_per_number=1,
    poll_delay_base=1.0,
    poll_delay_max=30.0,
)
"""The official client of autumn 2025."""

OFFICIAL_0_38: Final = Profile(name="official-0.38", max_retries=10, jitter_factor=0.25, max_connections=1000)
"""The official client as it is today. Its chunks are the server's limits, as here."""

TINKEX_BEAM: Final = Profile(
    name="tinkex-beam",
    timeout=120.0,
    max_retries=2,
    jitter_factor=0.25,
    max_connections=1000,
    chunk_items=1024,
    chunk_size=5_000_000,
    bytes_per_number=10,
    poll_delay_base=1.0,
    poll_delay_max=30.0,
)
"""The port to Elixir, 0.4, in its own mode. Its other mode is `official-0.38`."""

PROFILES: Final[Mapping[str, Profile]] = {
    profile.name: profile for profile in (DEFAULT, OFFICIAL_0_6, OFFICIAL_0_38, TINKEX_BEAM)
}
ALIASES: Final[Mapping[str, str]] = {"python": "official-0.38", "beam": "tinkex-beam", "elixir": "tinkex-beam"}
"""The port's names of its modes."""


def profile_named(name: str) -> Profile:
    """The profile of a name or an alias, in any case.

    Raises:
        ConfigurationError: There is none.
    """
    wanted = name.strip().lower()
    found = PROFILES.get(ALIASES.get(wanted, wanted))
    if found is None:
        raise ConfigurationError(
            f"there is no parity profile {name!r}", hint=f"The profiles are {', '.join([*PROFILES, *ALIASES])}."
        )
    return found
