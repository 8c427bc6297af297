"""Versions, as constants that cost nothing to import."""

__all__ = ["OFFICIAL_VERSION", "SDK_VERSION", "__title__", "__version__"]

__title__ = "tinker_hl"
__version__ = "0.1.0"

SDK_VERSION = __version__
"""What servers are told in `sdk_version`. A server that lets in only versions it knows is met by changing this line."""

OFFICIAL_VERSION = "0.38.0"
"""The official SDK's release whose public surface this client has; what `tinker.__version__` is under compat."""
