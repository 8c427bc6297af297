"""Protobuf classes of the Tinker API, made by `make generate` from proto/tinker_public.proto."""
