"""Asks a server of the Tinker API what it offers: every operation is called, and known deviations are looked for.

`operations` knows how each operation is called, `verdicts` what to make of the answers. Whoever wants to know how far
the official SDK gets on a server uses `scripts/compat_probe.py` instead.
"""

from tinker_hl.probing.operations import OPERATIONS, Outcome, Tried, probe_operations
from tinker_hl.probing.verdicts import Verdict, verdicts

__all__ = ["OPERATIONS", "Outcome", "Tried", "Verdict", "probe_operations", "verdicts"]
