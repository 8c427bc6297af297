"""`tinker-hl checkpoint`: what runs have saved. Each module here has a few of its commands."""

from tinker_hl.cli.checkpoint.group import checkpoint

__all__ = ["checkpoint"]
