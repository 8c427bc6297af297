"""The engine: base models, adapters in training, samplers. Nothing in here knows of HTTP."""
