"""The API's description as the service reads it."""

from jsonschema_rs import Draft202012Validator

from tinker_local.spec import load_spec


def test_a_standalone_schema_brings_all_that_it_needs() -> None:
    spec = load_spec()
    for operation in spec.operations:
        if operation.body:
            Draft202012Validator(spec.standalone(spec.schema(operation.body)))


def test_a_standalone_schema_brings_nothing_else() -> None:
    """Dozens are compiled, and each one keeps all that it was given."""
    spec = load_spec()
    heartbeat = spec.standalone(spec.schema("SessionHeartbeatRequest"))
    assert heartbeat["components"] == {}
    training = spec.standalone(spec.schema("ForwardBackwardRequest"))["components"]["schemas"]
    assert {"ForwardBackwardInput", "Datum", "TensorData"} <= set(training)
    assert "AuditLogResponse" not in training
