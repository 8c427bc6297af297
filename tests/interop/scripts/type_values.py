"""Builds types of the official SDK from a table on stdin, and prints what they hold and what they would send.

It runs in the environment of one of its releases, 0.7.0 or the newest, and knows nothing of ours. In: a list of
`[type, arguments]`, objects inside as `{"$": type, ...arguments}`, or `{"protobuf": base64}` for a result as it comes.
Out: one of `{"values", "wire"}`, `{"error"}`, or `{"missing"}` for each, as JSON. What is sent as protobuf is
`{"protobuf": base64}` too.
"""

import base64
import dataclasses
import json
import sys
import warnings
from datetime import datetime
from enum import Enum

import numpy as np
from tinker import types

PRIVATE = "_"
LISTS = ("tokens", "logprobs", "topk_logprobs", "prompt_logprobs", "topk_prompt_logprobs")
"""Properties that stand for lists where the newest release keeps arrays."""


def main() -> None:
    warnings.simplefilter("ignore")
    print(json.dumps([answered(name, arguments) for name, arguments in json.load(sys.stdin)]))


def answered(name: str, arguments: object) -> dict:
    if not hasattr(types, name):
        return {"missing": name}
    try:
        made = decoded(name, arguments) if "protobuf" in arguments else built({"$": name, **arguments})
        return {"values": values(made), "wire": wire(made)}
    except Exception as error:  # the test compares kinds of refusals too
        return {"error": [kind.__name__ for kind in type(error).__mro__]}


def built(value: object) -> object:
    if isinstance(value, list):
        return [built(item) for item in value]
    if not isinstance(value, dict):
        return value
    arguments = {key: built(item) for key, item in value.items() if key != "$"}
    if "$" not in value:
        return arguments
    kind = getattr(types, value["$"])
    return kind.from_ints(arguments["ints"]) if "ints" in arguments else kind(**arguments)


def decoded(name: str, arguments: dict) -> object:
    from tinker.proto.response_conv import deserialize_proto_response  # the newest has it

    return deserialize_proto_response(base64.b64decode(arguments["protobuf"]), getattr(types, name))


def wire(made: object) -> object:
    """What its release sends: both use these options. A dataclass travels inside something else."""
    if type(made).__name__ == "ForwardBackwardRequest" and dataclasses.is_dataclass(made):
        from tinker.proto.request_conv import forward_backward_request_to_proto

        return {"protobuf": base64.b64encode(forward_backward_request_to_proto(made).SerializeToString()).decode()}
    if not hasattr(made, "model_dump"):
        return None
    return made.model_dump(exclude_unset=False, exclude_none=True, mode="json")


def values(value: object) -> object:
    """Public fields, and the properties that stand for lists, all the way down."""
    if hasattr(type(value), "model_fields"):
        return {name: values(getattr(value, name)) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value):
        return {name: values(getattr(value, name)) for name in dataclass_names(value)}
    if isinstance(value, dict):
        return {key: values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [values(item) for item in value]
    if isinstance(value, np.ndarray):
        return [None if item != item else item for item in value.tolist()] if value.ndim == 1 else value.tolist()
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, Enum):
        return value.value
    return value.isoformat() if isinstance(value, datetime) else value


def dataclass_names(value: object) -> list[str]:
    if isinstance(value, types.TensorData):
        return ["data", "dtype", "shape"]
    named = [field.name for field in dataclasses.fields(value) if not field.name.startswith(PRIVATE)]
    return named + [name for name in LISTS if hasattr(type(value), name)]


if __name__ == "__main__":
    main()
