"""`tinker-hl chat`: a conversation with a model (`conversation`), and how it looks in a terminal (`command`)."""

from tinker_hl.cli.chat.command import chat

__all__ = ["chat"]
