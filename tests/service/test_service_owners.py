"""What is one owner's does not exist for another: each operation says 404, as it does for an invented one."""

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from service_bench import OPERATIONS, Api, Bench, pass_body, sample_body

ANN, BOB = {"x-api-key": "tml-ann"}, {"x-api-key": "tml-bob"}
TELLS_NOTHING = {
    "get_health", "get_server_capabilities", "get_client_config", "get_client_dynamic_config", "exchange_token",
    "get_api_key", "delete_api_key", "create_session",
}  # fmt: skip
"""Operations that name nobody's things."""
LISTS = {
    "list_sessions": "sessions",
    "search_sessions": "sessions",
    "list_training_runs": "training_runs",
    "list_checkpoints": "checkpoints",
    "get_audit_log": "entries",
    "get_billing_usage": "data",
    "get_checkpoint_storage_usage": "data",
}


@attrs.frozen
class Things:
    """Some of each kind."""

    session_id: str
    model_id: str
    sampler_id: str
    path: str
    external: str
    request_id: str
    sample_id: str

    @classmethod
    def made(cls, api: Api) -> "Things":
        session_id = api.session()
        model_id = api.model(session_id)
        path = api.save(model_id, 1, "a")
        external = api.result(api.ok("save_weights_external", body={"model_id": model_id, "seq_id": 2, "path": "e"}))
        sampler_id = api.sampler(session_id)
        sample_id = api.sample(sampler_id)["request_id"]
        return cls(session_id, model_id, sampler_id, path, external["path"], f"{model_id}:1", sample_id)

    @classmethod
    def invented(cls, like: "Things") -> "Things":
        """Ids of the same form, of nothing."""
        changed = {name: value.replace(like.session_id, "0" * 8 + like.session_id[8:]) for name, value in
                   attrs.asdict(like).items()}  # fmt: skip
        return cls(**changed)


@pytest.fixture
def shared(bench: Bench) -> Api:
    return bench.start(api_keys=("tml-ann", "tml-bob"))


def requests_for(things: Things, own: Things) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operation that names a thing, on these things; `own` is what a caller may combine them with."""
    run, kind, name = things.path.removeprefix("tinker://").split("/")
    where = {"training_run_id": run, "checkpoint_kind": kind, "checkpoint_name": name}
    outside = {**where, "checkpoint_kind": "external_weights", "checkpoint_name": "e"}
    for operation_id in ("delete_checkpoint", "publish_checkpoint", "unpublish_checkpoint", "get_checkpoint_archive"):
        yield operation_id, {"path": where}
    yield "set_checkpoint_ttl", {"path": where, "body": {"ttl_seconds": 3600}}
    yield "get_external_weights_urls", {"path": outside}
    yield "get_training_run", {"path": {"training_run_id": run}}
    yield "list_training_run_checkpoints", {"path": {"training_run_id": run}}
    session = {"session_id": things.session_id}
    yield "get_session", {"path": session}
    yield "export_session_trace", {"path": session}
    yield "finish_session", {"path": session, "body": {"reason": {"type": "success"}}}
    yield "assign_session_project", {"path": session, "body": {"project_id": "p"}}
    yield "heartbeat_session", {"body": session}
    yield "create_model", {"body": {**session, "model_seq_id": 9, "base_model": "null/base"}}
    yield "create_sampling_session", {"body": {**session, "sampling_session_seq_id": 9, "base_model": "null/base"}}
    node = {"op": "placeholder", "name": "logprobs", "target": "logprobs"}
    loss = {"custom_loss_seq_id": 0, "name": "l", "inputs": [{"name": "logprobs", "rank": 1}]}
    yield "create_custom_loss", {"body": {**session, **loss, "graph": {"format": 1, "nodes": [node]}}}
    model = {"model_id": things.model_id}
    yield "get_info", {"body": model}
    yield "unload_model", {"body": model}
    body = pass_body(things.model_id, 3)
    yield "forward_backward", {"body": body}
    yield "forward", {"body": {**model, "seq_id": 3, "forward_input": body["forward_backward_input"]}}
    yield "optim_step", {"body": {**model, "seq_id": 3, "adam_params": {"learning_rate": 1e-4}}}
    yield "save_weights", {"body": {**model, "seq_id": 3, "path": "b"}}
    yield "save_weights_for_sampler", {"body": {**model, "seq_id": 3, "path": "b"}}
    yield "save_weights_external", {"body": {**model, "seq_id": 3, "path": "b"}}
    yield "load_weights", {"body": {"model_id": own.model_id, "seq_id": 3, "path": things.path, "optimizer": False}}
    yield "copy_weights", {"body": {"source_path": things.path, "destination_project_id": "p"}}
    adapter = {"adapter_config": {"peft_type": "LORA", "r": 2, "lora_alpha": 2}, "adapter_model": "AAAA"}
    place = {**session, "model_seq_id": 9, "path": "b", "base_model": "null/base"}
    yield "import_weights", {"body": {**place, **adapter}}
    yield "get_weights_info", {"body": {"tinker_path": things.path}}
    yield "get_sampler", {"path": {"sampler_id": things.sampler_id}}
    yield "join_sampling_session", {"body": {"sampling_session_id": things.sampler_id}}
    yield "sample", {"body": sample_body(things.sampler_id, 1)}
    target = {"type": "sampling_session", "sampling_session_id": things.sampler_id, "cloned_sampler_id": 0}
    news = {"target": target, "prev_cursor": 0, "retrieved_request_ids": [], "timeout": 0}
    yield "retrieve_futures", {"body": news}
    yield "retrieve_future", {"body": {"request_id": things.request_id}}


def test_every_operation_that_names_anothers_thing_says_404(shared: Api) -> None:
    shared.headers = ANN
    anns = Things.made(shared)
    shared.headers = BOB
    bobs = Things.made(shared)
    asked = set()
    for (operation_id, request), (_, of_nothing) in zip(
        requests_for(anns, bobs), requests_for(Things.invented(anns), bobs), strict=True
    ):
        answer, nothing = shared.answer(operation_id, **request), shared.answer(operation_id, **of_nothing)
        assert answer.status_code == 404, (operation_id, answer.text)
        assert answer.status_code == nothing.status_code, operation_id
        same = nothing.text.replace("0" * 8 + anns.session_id[8:], anns.session_id)
        assert answer.text == same, f"{operation_id}: it tells that there is such a thing"
        asked.add(operation_id)
    assert asked | TELLS_NOTHING | set(LISTS) | {"cancel_future", "send_telemetry"} == set(OPERATIONS)
    shared.headers = ANN
    for operation_id, request in requests_for(anns, anns):
        if operation_id in ("get_session", "get_training_run", "get_sampler", "get_info", "retrieve_future"):
            assert shared.answer(operation_id, **request).is_success, f"{operation_id}: it is unharmed"


@pytest.mark.parametrize("operation_id", sorted(LISTS))
def test_lists_show_nothing_of_others(shared: Api, operation_id: str) -> None:
    shared.headers = ANN
    anns = Things.made(shared)
    shared.headers = BOB
    hour = {"starting_on": "2020-01-01T00:00:00Z", "ending_before": "2020-01-02T00:00:00Z"}
    query = hour if operation_id == "get_billing_usage" else {}
    body: Any = {"owner": {"type": "accessible"}} if operation_id == "search_sessions" else None
    answer = shared.ok(operation_id, query=query, body=body)
    assert answer[LISTS[operation_id]] == []
    assert anns.session_id not in str(answer)


def test_another_cannot_cancel_a_sample_nor_tell_that_it_is_there(shared: Api) -> None:
    shared.headers = ANN
    anns = Things.made(shared)
    for request_id in (anns.sample_id, "nothing"):
        assert shared.answer("cancel_future", body={"request_id": request_id}, headers=BOB).status_code == 204
    assert shared.result({"request_id": anns.sample_id})["sequences"]


def test_a_forgotten_result_is_gone_for_its_owner_and_never_was_for_others(shared: Api, bench: Bench) -> None:
    shared.headers = ANN
    anns = Things.made(shared)
    shared.result({"request_id": anns.request_id})
    for _ in range(2):  # the session ends by its silence, then the results' time
        bench.clock.ahead += 3600.0
        shared.run(shared.service.sweep())
    body = {"request_id": anns.sample_id}
    shared.refused(410, "retrieve_future", body=body)
    shared.refused(404, "retrieve_future", body=body, headers=BOB)


def test_a_link_is_for_one_file_of_one_checkpoint(shared: Api) -> None:
    shared.headers = ANN
    anns = Things.made(shared)
    shared.headers = BOB
    bobs = Things.made(shared)
    run, kind, name = bobs.external.removeprefix("tinker://").split("/")
    where = {"training_run_id": run, "checkpoint_kind": kind, "checkpoint_name": name}
    for url in shared.ok("get_external_weights_urls", path=where)["urls"].values():
        assert shared.get(url).status_code == 200
        assert shared.get(url.replace(bobs.session_id, anns.session_id)).status_code == 403
    archive = shared.answer("get_checkpoint_archive", path=where).headers["location"]
    assert shared.get(archive.replace(bobs.session_id, anns.session_id)).status_code == 403
