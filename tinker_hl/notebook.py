"""Whether this process is a notebook's kernel. A program that has merely imported ipykernel is none."""

import sys

__all__ = ["in_notebook"]


def in_notebook() -> bool:
    """Whether code typed into a notebook's cells runs in this process."""
    if "ipykernel" not in sys.modules or "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return getattr(shell, "kernel", None) is not None
