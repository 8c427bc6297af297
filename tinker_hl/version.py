"""Versions, as constants that cost nothing to import."""

__all__ = ["SDK_VERSION", "__version__"]

__version__ = "0.1.0"

SDK_VERSION = __version__
"""What servers are told in `sdk_version`. A server that lets in only versions it knows is met by changing this line."""
