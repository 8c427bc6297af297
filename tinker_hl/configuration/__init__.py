"""What a client is told, where each value comes from, and the named profiles of times and limits.

`service.config` is a client's configuration as it stands; `configuration_here()` is that of a client that would be made
here. Values are read once, when a client is made.
"""

from typing import TYPE_CHECKING, Any

from tinker_hl.configuration.origin import Origin, Setting
from tinker_hl.configuration.profiles import PROFILES, Profile, profile_named

if TYPE_CHECKING:
    from tinker_hl.configuration.snapshot import Configuration as Configuration
    from tinker_hl.configuration.snapshot import configuration_here as configuration_here

__all__ = ["PROFILES", "Configuration", "Origin", "Profile", "Setting", "configuration_here", "profile_named"]


def __getattr__(name: str) -> Any:
    """The snapshot is loaded on first use: it needs credentials, and they need half of the client."""
    if name in ("Configuration", "configuration_here"):
        from tinker_hl.configuration import snapshot

        return getattr(snapshot, name)
    raise AttributeError(f"module 'tinker_hl.configuration' has no attribute {name!r}")
