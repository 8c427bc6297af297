"""Looks for what is wrong with training data before any of it is sent: `lint(data)`.

`rules` knows what can be wrong with a datum, `data_file` reads datums from JSONL. Nothing here asks a server.
"""

from tinker_hl.linting.data_file import Row, read_rows
from tinker_hl.linting.rules import Finding, Severity, lint, lint_rows

__all__ = ["Finding", "Row", "Severity", "lint", "lint_rows", "read_rows"]
