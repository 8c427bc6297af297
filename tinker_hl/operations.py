"""The operations of the generated client that this client calls, each loaded by its first call.

A generated operation is a module, `tinker_api.api.<group>.<name>`, and brings the models of its request and answer and
httpx along: most of what importing a client would cost. It knows names, no operation.
"""

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

__all__ = ["Operation", "load_generated_client"]


class Operation:
    """What stands for one of the generated modules.

    Args:
        name: Its group and name, such as `training.forward`.
    """

    __slots__ = ("_call", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._call: Callable[..., Awaitable[Any]] | None = None

    def __repr__(self) -> str:
        return f"Operation({self.name!r})"

    @property
    def asyncio_detailed(self) -> Callable[..., Awaitable[Any]]:
        """The module's function of this name, which takes `client` and its own arguments; the first call loads it."""
        return self._call or self._load_and_call

    async def _load_and_call(self, **arguments: Any) -> Any:
        call = self._call = import_module(f"tinker_api.api.{self.name}").asyncio_detailed
        return await call(**arguments)


def load_generated_client() -> None:
    """Load what all operations share, in the thread of whoever makes a client: the loop is not to wait for it."""
    import_module("tinker_api.client")
    import_module("tinker_api.models")


get_audit_log = Operation("admin.get_audit_log")
get_billing_usage = Operation("admin.get_billing_usage")
get_checkpoint_storage_usage = Operation("admin.get_checkpoint_storage_usage")
exchange_token = Operation("auth.exchange_token")
delete_checkpoint = Operation("checkpoints.delete_checkpoint")
get_checkpoint_archive = Operation("checkpoints.get_checkpoint_archive")
get_external_weights_urls = Operation("checkpoints.get_external_weights_urls")
list_checkpoints = Operation("checkpoints.list_checkpoints")
publish_checkpoint = Operation("checkpoints.publish_checkpoint")
set_checkpoint_ttl = Operation("checkpoints.set_checkpoint_ttl")
unpublish_checkpoint = Operation("checkpoints.unpublish_checkpoint")
cancel_future = Operation("futures.cancel_future")
retrieve_future = Operation("futures.retrieve_future")
retrieve_futures = Operation("futures.retrieve_futures")
create_sampling_session = Operation("sampling.create_sampling_session")
get_sampler = Operation("sampling.get_sampler")
join_sampling_session = Operation("sampling.join_sampling_session")
sample = Operation("sampling.sample")
get_client_config = Operation("service.get_client_config")
get_client_dynamic_config = Operation("service.get_client_dynamic_config")
get_server_capabilities = Operation("service.get_server_capabilities")
assign_session_project = Operation("sessions.assign_session_project")
create_session = Operation("sessions.create_session")
export_session_trace = Operation("sessions.export_session_trace")
finish_session = Operation("sessions.finish_session")
get_session = Operation("sessions.get_session")
heartbeat_session = Operation("sessions.heartbeat_session")
list_sessions = Operation("sessions.list_sessions")
search_sessions = Operation("sessions.search_sessions")
send_telemetry = Operation("telemetry.send_telemetry")
create_custom_loss = Operation("training.create_custom_loss")
create_model = Operation("training.create_model")
forward = Operation("training.forward")
forward_backward = Operation("training.forward_backward")
get_info = Operation("training.get_info")
optim_step = Operation("training.optim_step")
unload_model = Operation("training.unload_model")
get_training_run = Operation("training_runs.get_training_run")
list_training_run_checkpoints = Operation("training_runs.list_training_run_checkpoints")
list_training_runs = Operation("training_runs.list_training_runs")
copy_weights = Operation("weights.copy_weights")
get_weights_info = Operation("weights.get_weights_info")
import_weights = Operation("weights.import_weights")
load_weights = Operation("weights.load_weights")
save_weights = Operation("weights.save_weights")
save_weights_external = Operation("weights.save_weights_external")
save_weights_for_sampler = Operation("weights.save_weights_for_sampler")
