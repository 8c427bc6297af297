"""Whole jobs built on the client: what `tinker-hl demo` and `tinker-hl train` do, as functions to call or to copy."""
