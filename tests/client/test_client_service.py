"""Every public client against the real service, in this process and over a socket."""

import asyncio
import concurrent.futures
import os
import pickle
import subprocess
import sys
import textwrap
import urllib.request
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from client_bench import KEY, MODEL, MakeClient, SocketService

import tinker_hl
from tinker_hl import AdamParams, Datum, ModelInput, SamplingParams, ServiceClient, TensorData
from tinker_hl.types import OwnSearchOwner, SessionSearchRequest

PROMPT = ModelInput.from_ints([1, 2, 3])


def datum(length: int = 3) -> Datum:
    tokens = list(range(1, length + 1))
    return Datum(ModelInput.from_ints(tokens), {"target_tokens": tokens, "weights": [1.0] * length})


def test_training(make_client: MakeClient) -> None:
    with make_client() as service:
        training = service.create_lora_training_client(MODEL, rank=4, seed=1)
        passes = [training.forward_backward([datum(), datum(5)], "cross_entropy") for _ in range(3)]
        update = training.optim_step(AdamParams(learning_rate=1e-3))
        assert [len(done.result(20).loss_fn_outputs) for done in passes] == [2, 2, 2]
        assert update.result(20).metrics["passes:sum"] == 3.0
        assert training.forward([datum()], "cross_entropy").result(20).metrics["loss:sum"] == 0.0
        info = training.get_info()
        assert (info.lora_rank, info.model_data.model_name) == (4, MODEL)


def test_many_chunks_are_one_call(make_client: MakeClient) -> None:
    with make_client() as service:
        training = service.create_lora_training_client(MODEL)
        session = training.result(20)._model.calls.session
        object.__setattr__(session.connection.capabilities, "fwdbwd_max_chunk_len", 3)
        result = training.forward_backward([datum(2 + index % 4) for index in range(20)], "cross_entropy")
        update = training.optim_step(AdamParams())
        lengths = [len(output["logprobs"].tolist()) for output in result.result(20).loss_fn_outputs]
        assert lengths == [2 + index % 4 for index in range(20)]
        assert update.result(20).metrics["passes:sum"] == 7.0


def test_custom_losses(make_client: MakeClient) -> None:
    seen: list[list[torch.Tensor]] = []

    def loss(data: list[Datum], logprobs: list[torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        seen.append(logprobs)
        return sum((values**2).sum() + values.sum() for values in logprobs), {"mine": 2.0}

    with make_client() as service:
        training = service.create_lora_training_client(MODEL)
        future = training.forward_backward_custom([datum(), datum(4)], loss)
        after = training.optim_step(AdamParams())
        metrics = future.result(20).metrics
        assert metrics["mine"] == 2.0
        assert metrics["loss:sum"] == 0.0
        assert "surrogate_loss:sum" in metrics
        assert [tuple(values.shape) for values in seen[0]] == [(3,), (4,)]
        assert after.result(20).metrics["passes:sum"] == 1.0


@pytest.mark.parametrize(
    ("loss", "error", "says"),
    [
        (lambda data, logprobs: (logprobs[1].sum() * float("nan"), {}), tinker_hl.InvalidDatumError, "not finite"),
        (lambda data, logprobs: (torch.sqrt(logprobs[1]).sum(), {}), tinker_hl.InvalidDatumError, "datum 1.*gradient"),
        (lambda data, logprobs: (torch.ones(()).requires_grad_() * 1, {}), ValueError, "no gradient"),
        (lambda data, logprobs: (logprobs[0], {}), ValueError, "scalar"),
        (lambda data, logprobs: 3.0, tinker_hl.CustomLossError, r"\(loss, metrics\)"),
        (lambda data, logprobs: 1 / 0, ZeroDivisionError, "division"),
    ],
)
def test_a_custom_loss_that_fails_harms_nobody(
    make_client: MakeClient, loss: object, error: type[Exception], says: str
) -> None:
    with make_client() as service:
        training = service.create_lora_training_client(MODEL)
        failing = training.forward_backward_custom([datum(), datum()], loss)  # type: ignore[arg-type]
        after = training.forward_backward([datum()], "cross_entropy")
        with pytest.raises(error, match=says):
            failing.result(20)
        assert after.result(20).metrics["loss:sum"] == 0.0


def test_a_custom_loss_cannot_wait_for_itself(make_client: MakeClient) -> None:
    with make_client() as service:
        training = service.create_lora_training_client(MODEL).result(20)

        def loss(data: list[Datum], logprobs: list[torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
            training.forward(data, "cross_entropy").result()
            return logprobs[0].sum(), {}

        with pytest.raises(RuntimeError, match="custom loss"):
            training.forward_backward_custom([datum()], loss).result(20)


def test_states_come_back(make_client: MakeClient) -> None:
    with make_client() as service:
        training = service.create_lora_training_client(MODEL, rank=2)
        saved = training.save_state("first", user_metadata={"a": "b"}).result(20)
        assert saved.path == f"tinker://{training.model_id}/weights/first"
        plain = service.create_training_client_from_state(saved.path)
        whole = service.create_training_client_from_state_with_optimizer(saved.path)
        assert len({training.model_id, plain.model_id, whole.model_id}) == 3
        assert whole.get_info().lora_rank == 2
        fresh = service.create_lora_training_client(MODEL, rank=2)
        assert fresh.load_state(saved.path).result(20).path == saved.path
        assert fresh.optim_step(AdamParams()).result(20) is not None
        with pytest.raises(tinker_hl.TinkerError, match=r"(?i)first"):
            training.save_state("first").result(20)
        training.save_state("first", overwrite=True).result(20)
        with pytest.raises(tinker_hl.TinkerError):
            service.create_training_client_from_state("tinker://nobody/weights/nothing").result(20)


def test_sampling(make_client: MakeClient) -> None:
    with make_client() as service:
        training = service.create_lora_training_client(MODEL)
        named = training.save_weights_for_sampler("named").result(20)
        clients = [
            training.save_weights_and_get_sampling_client(),
            training.create_sampling_client(named.path),
            service.create_sampling_client(named.path),
            service.create_sampling_client(base_model=MODEL),
        ]
        for client in clients:
            assert client.get_base_model() == MODEL
            response = client.sample(PROMPT, 2, SamplingParams(max_tokens=5), include_prompt_logprobs=True).result(20)
            assert [len(sequence.tokens) for sequence in response.sequences] == [5, 5]
            assert len({sequence.sequence_id for sequence in response.sequences}) == 2
            assert response.prompt_logprobs[0] is None
            assert client.compute_logprobs(PROMPT).result(20) == [None, 0.0, 0.0]


def test_many_samples_at_once(make_client: MakeClient) -> None:
    with make_client() as service:
        client = service.create_sampling_client(base_model=MODEL)
        futures = [client.sample(PROMPT, 1, SamplingParams(max_tokens=2)) for _ in range(300)]
        done, pending = concurrent.futures.wait(futures, 60)
        assert not pending
        assert all(len(future.result().sequences[0].tokens) == 2 for future in done)


def test_async_use_in_a_loop_of_ones_own(make_client: MakeClient) -> None:
    async def use() -> list[int]:
        async with make_client() as service:
            training = await service.create_lora_training_client(MODEL)
            update = training.forward_backward([datum()], "cross_entropy"), training.optim_step(AdamParams())
            await asyncio.gather(*update)
            sampling = await training.save_weights_and_get_sampling_client()
            samples = [sampling.sample(PROMPT, 1, SamplingParams(max_tokens=3)) for _ in range(8)]
            return [len((await sample).sequences[0].tokens) for sample in asyncio.as_completed(samples)]

    assert asyncio.run(use()) == [3] * 8


def test_tokenizers(make_client: MakeClient) -> None:
    with make_client() as service:
        training = service.create_lora_training_client(MODEL)
        sampling = service.create_sampling_client(base_model=MODEL)
        for tokenizer in (training.get_tokenizer(), sampling.get_tokenizer()):
            ids = tokenizer.encode("hello")
            assert isinstance(ids, list)
            assert tokenizer.decode(ids) == "hello"


def test_text_is_encoded_by_the_training_client_and_the_model_input(make_client: MakeClient) -> None:
    """T-152, T-171, S3-03"""
    with make_client() as service:
        training = service.create_lora_training_client(MODEL)
        ids = training.encode("hello")
        assert ids == training.get_tokenizer().encode("hello")
        assert training.decode(ids) == training.decode(np.array(ids)) == "hello"
        assert ModelInput.from_text("hello", training.get_tokenizer()) == ModelInput.from_ints(ids)
        assert ModelInput.from_text("", training.get_tokenizer()).length == len(training.encode(""))


def test_a_model_is_unloaded_after_what_was_asked_before(make_client: MakeClient) -> None:
    """T-061, S0-11, S3-03"""
    with make_client() as service:
        training = service.create_lora_training_client(MODEL)
        step = training.optim_step(AdamParams())
        path = training.save_state("kept")
        gone = training.unload_model()
        late = training.optim_step(AdamParams())
        assert gone.result(20).model_id == training.model_id
        assert "passes:sum" in step.result(20).metrics
        with pytest.raises(tinker_hl.NotFoundError, match="unloaded"):
            late.result(20)
        again = service.create_training_client_from_state(path.result(20).path)
        assert "passes:sum" in again.optim_step(AdamParams()).result(20).metrics


def test_a_model_is_unloaded_the_awaited_way(make_client: MakeClient) -> None:
    """T-061"""

    async def story() -> None:
        with make_client() as service:
            training = await service.create_lora_training_client_async(MODEL)
            assert (await (await training.unload_model_async())).model_id == training.model_id

    asyncio.run(story())


def test_runs_and_checkpoints(make_client: MakeClient) -> None:
    with make_client() as service:
        training = service.create_lora_training_client(MODEL, user_metadata={"run": "mine"})
        path = training.save_state("kept").result(20).path
        rest = service.create_rest_client()
        run = rest.get_training_run_by_tinker_path(path).result(20)
        assert (run.training_run_id, run.base_model) == (training.model_id, MODEL)
        assert training.model_id in {
            run.training_run_id for run in rest.list_training_runs(100).result(20).training_runs
        }
        (checkpoint,) = rest.list_checkpoints(training.model_id).result(20).checkpoints
        assert (checkpoint.tinker_path, checkpoint.checkpoint_id) == (path, "weights/kept")
        assert path in {item.tinker_path for item in rest.list_user_checkpoints(1000).result(20).checkpoints}
        assert rest.get_weights_info_by_tinker_path(path).result(20).base_model == MODEL
        assert service._session.session_id in rest.list_sessions(100).result(20).sessions
        assert training.model_id in rest.get_session(str(service._session.session_id)).result(20).training_run_ids
        with pytest.warns(tinker_hl.ExperimentalWarning):
            found = rest.search_sessions(SessionSearchRequest(owner=OwnSearchOwner(), limit=200)).result(20)
        assert service._session.session_id in {summary.session_id for summary in found.sessions}
        sampler = service.create_sampling_client(base_model=MODEL).result(20)._sampler.sampling_session_id
        assert rest.get_sampler(sampler).result(20).base_model == MODEL

        rest.publish_checkpoint_from_tinker_path(path).result(20)
        assert rest.list_checkpoints(training.model_id).result(20).checkpoints[0].public
        rest.unpublish_checkpoint_from_tinker_path(path).result(20)
        rest.set_checkpoint_ttl_from_tinker_path(path, 7200).result(20)
        expires = rest.list_checkpoints(training.model_id).result(20).checkpoints[0].expires_at
        assert expires is not None
        assert expires > datetime.now(UTC)
        rest.set_checkpoint_ttl_from_tinker_path(path, None).result(20)
        rest.delete_checkpoint_from_tinker_path(path).result(20)
        with pytest.raises(tinker_hl.NotFoundError):
            rest.delete_checkpoint(training.model_id, "weights/kept").result(20)
        with pytest.raises(ValueError, match="segment"):
            rest.delete_checkpoint(training.model_id, "kept")


def test_an_archive_is_a_link_that_needs_no_key(socket_service: SocketService) -> None:
    with ServiceClient(base_url=socket_service.base_url, api_key=KEY) as service:
        path = service.create_lora_training_client(MODEL).save_state("packed").result(20).path
        link = service.create_rest_client().get_checkpoint_archive_url_from_tinker_path(path).result(20)
        assert link.expires > datetime.now(UTC)
        with urllib.request.urlopen(link.url, timeout=20) as answer:
            assert answer.read(2) == b"\x1f\x8b"


def test_the_service_refuses_a_wrong_key(socket_service: SocketService) -> None:
    service = ServiceClient(base_url=socket_service.base_url, api_key="tml-wrong")
    with pytest.raises(tinker_hl.AuthenticationError, match="TINKER_API_KEY"):
        service.get_server_capabilities()


def test_twins_of_the_rest_client(make_client: MakeClient) -> None:
    async def use() -> None:
        async with make_client() as service:
            training = await service.create_lora_training_client(MODEL)
            path = (await training.save_state("twin")).path
            rest = service.create_rest_client()
            assert (await rest.get_training_run_async(training.model_id)).base_model == MODEL
            assert (await rest.list_checkpoints_async(training.model_id)).checkpoints
            assert (await rest.get_checkpoint_archive_url_async(training.model_id, "weights/twin")).url
            await rest.delete_checkpoint_from_tinker_path_async(path)

    asyncio.run(use())


def test_a_sampling_client_goes_to_another_process(socket_service: SocketService) -> None:
    with ServiceClient(base_url=socket_service.base_url, api_key=KEY) as service:
        content = pickle.dumps(service.create_sampling_client(base_model=MODEL))
        program = textwrap.dedent("""
            import pickle, sys
            from tinker_hl import ModelInput, SamplingParams
            client = pickle.loads(bytes.fromhex(sys.argv[1]))
            response = client.sample(ModelInput.from_ints([1]), 1, SamplingParams(max_tokens=4)).result(20)
            print(response.sequences[0].tokens)
        """)
        environment = {**os.environ, "TINKER_API_KEY": KEY}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program, content.hex()],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.stdout == "[0, 1, 2, 3]\n", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_clients_work_in_a_forked_child(socket_service: SocketService) -> None:
    program = textwrap.dedent("""
        import os, sys
        from tinker_hl import AdamParams, ModelInput, SamplingParams, ServiceClient
        service = ServiceClient(base_url=sys.argv[1], api_key=sys.argv[2])
        client = service.create_sampling_client(base_model=sys.argv[3])
        def draw():
            response = client.sample(ModelInput.from_ints([1]), 1, SamplingParams(max_tokens=2)).result(30)
            return response.sequences[0].sequence_id
        ours = draw()
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.write(write, draw().encode())
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        theirs = os.read(read, 1000).decode()
        assert theirs != ours and draw() not in (ours, theirs)
        service.close().result(20)
        print("fine")
    """)
    arguments = [sys.executable, "-W", "error", "-c", program, socket_service.base_url, KEY, MODEL]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=90, check=False)
    assert done.stdout == "fine\n", done.stderr


def test_target_prompt_logprobs_take_the_official_shape(make_client: MakeClient) -> None:
    with make_client() as service:
        client = service.create_sampling_client(base_model=MODEL).result(20)
        targets = TensorData(data=[1, 2], dtype="int64", shape=[2, 1])
        future = client.sample(PROMPT, 1, SamplingParams(max_tokens=1), target_prompt_logprobs=targets)
        error = future.exception(20)
        assert error is None or isinstance(error, tinker_hl.TinkerError)
