"""The local service: the Tinker protocol over HTTP, and an engine that really trains LoRA adapters."""
