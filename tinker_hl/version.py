"""Versions, as constants that cost nothing to import."""

__all__ = ["OFFICIAL_VERSION", "SDK_VERSION", "__title__", "__version__"]

__title__ = "tinker_hl"
__version__ = "0.1.0"

OFFICIAL_VERSION = "0.38.0"
"""The official SDK's release whose public surface this client has; what `tinker.__version__` is under compat."""

SDK_VERSION = OFFICIAL_VERSION
"""What servers are told in `sdk_version`: the release whose protocol is spoken, by which servers decide whom they let
in and what they offer. Our own name and version are in the header `User-Agent`."""
