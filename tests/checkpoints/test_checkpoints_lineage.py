"""Which run started from which checkpoint; the row "Lineage and notes" of 4.7."""

from collections.abc import Iterator

import pytest
from client_bench import KEY, MODEL, SocketService

from tinker_hl import NotFoundError, RestClient, ServiceClient, TrainingRun
from tinker_hl.checkpoints import Lineage, lineage, started_from


@pytest.fixture
def service(large_service: SocketService) -> Iterator[ServiceClient]:
    with ServiceClient(base_url=large_service.base_url, api_key=KEY) as service:
        yield service


def ids(found: Lineage) -> list[str]:
    return [node.training_run_id for node in found.ancestors]


def test_the_service_remembers_where_a_run_began(service: ServiceClient) -> None:
    first = service.create_lora_training_client(MODEL, rank=2).result(30)
    path = first.save_state("a").result(30).path
    second = service.create_training_client_from_state_with_optimizer(path).result(30)
    other = service.create_training_client_from_state(path).result(30)
    third = service.create_training_client_from_state(second.save_state("b").result(30).path).result(30)
    found = lineage(service, str(third.model_id), descendants=True)
    assert ids(found) == [third.model_id, second.model_id, first.model_id]
    assert [node.started_from for node in found.ancestors] == [
        f"tinker://{second.model_id}/weights/b",
        f"tinker://{first.model_id}/weights/a",
        None,
    ]
    assert found.descendants == ()
    below = {node.training_run_id for node in lineage(service, path, descendants=True).descendants}
    assert below == {second.model_id, other.model_id, third.model_id}


def test_a_copy_comes_from_its_source_and_a_run_may_load_into_itself(service: ServiceClient) -> None:
    first = service.create_lora_training_client(MODEL, rank=2).result(30)
    path = first.save_state("a").result(30).path
    copied = service.create_rest_client().copy_weights(path, "project").result(30)
    assert ids(lineage(service, copied))[1] == first.model_id
    second = service.create_lora_training_client(MODEL, rank=2).result(30)
    second.load_state(path).result(30)
    second.load_state(second.save_state("own").result(30).path).result(30)
    assert ids(lineage(service, str(second.model_id))) == [second.model_id, first.model_id]


def test_on_other_servers_a_label_says_it(service: ServiceClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a label that is wrong, or that goes in a circle, harms nothing."""
    first = service.create_lora_training_client(MODEL, rank=2).result(30)
    path = first.save_state("a").result(30).path
    labels = started_from(path, {"mine": "kept"})
    assert labels == {"mine": "kept", "started_from": path}
    second = service.create_lora_training_client(MODEL, rank=2, user_metadata=labels).result(30)
    assert ids(lineage(service, str(second.model_id))) == [second.model_id, first.model_id]
    odd = service.create_lora_training_client(MODEL, rank=2, user_metadata={"started_from": "the top"}).result(30)
    assert ids(lineage(service, str(odd.model_id))) == [odd.model_id]
    gone = service.create_lora_training_client(MODEL, rank=2, user_metadata=started_from("tinker://g/weights/x"))
    found = lineage(service, str(gone.result(30).model_id)).ancestors
    assert [node.training_run_id for node in found][1] == "g"
    assert found[1].run is None
    with pytest.raises(ValueError, match="tinker"):
        started_from("weights/x")

    real = RestClient.get_training_run

    def circular(self: RestClient, run_id: str) -> object:
        run: TrainingRun = real(self, run_id).result(30)
        answer = real(self, run_id)
        return answer.map(lambda _: run.model_copy(update={"started_from": f"tinker://{run_id}/weights/x"}))

    monkeypatch.setattr(RestClient, "get_training_run", circular)
    assert ids(lineage(service, str(first.model_id))) == [first.model_id]


def test_a_run_that_is_not_there(service: ServiceClient) -> None:
    with pytest.raises(NotFoundError):
        lineage(service, "no-such-run")
