"""The wire codec: request bodies to the engine's values, the engine's values to answers. No HTTP, no torch, no state.

JSON bodies that come in here were validated against the spec; what is checked here is what a schema cannot say: lengths
that must agree, layouts, kinds of content that this server's models do not read.
"""
