"""What makes waits of many callers differ.

A generator of the client's own: drawing from Python's shared one, in a thread of the client's, would change what a
program draws that has seeded it.
"""

import os
import random

__all__ = ["JITTER"]

JITTER = random.Random()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=JITTER.seed)
