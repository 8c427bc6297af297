"""A scripted server that computes losses as the protocol says: cross entropy, and custom losses that were uploaded.

Its model is a formula: the logprob of target t is -(t + 1) / 4. It keeps the gradient of each pass over the logprobs.
"""

from typing import Any

import numpy as np
import torch
from loss_graph import run_graph
from scripted_server import Reply, ScriptedServer, Seen

from tinker_hl import TensorData

Output = dict[str, Any]


class LossServer(ScriptedServer):
    """`gradients` has dC/dlogprobs of every datum of every backward pass, as nested lists."""

    def __init__(self, **config: Any) -> None:
        super().__init__(config=config)
        self.losses: dict[str, Any] = {}
        self.gradients: list[Any] = []
        self.passes: list[tuple[str, int, list[int]]] = []
        """Each request: forward or backward, its sequence id, the length of each of its datums."""

    def on_create_custom_loss(self, request: Seen) -> Any:
        loss_id = f"loss-{request.json['custom_loss_seq_id']}"
        self.losses[loss_id] = request.json
        return self.promise({"loss_id": loss_id, "type": "create_custom_loss"})

    def on_forward(self, request: Seen) -> Any:
        return self._pass(request, "forward_input", backward=False)

    def on_forward_backward(self, request: Seen) -> Any:
        if "protobuf" in request.headers["content-type"]:
            return Reply(415, {"detail": "JSON only"})
        return self._pass(request, "forward_backward_input", backward=True)

    def _pass(self, request: Seen, key: str, *, backward: bool) -> Any:
        asked = request.json[key]
        data = [{name: tensor(value) for name, value in each["loss_fn_inputs"].items()} for each in asked["data"]]
        lengths = [len(each["target_tokens"]) for each in data]
        self.passes.append(("backward" if backward else "forward", request.json["seq_id"], lengths))
        logprobs = [(-(each["target_tokens"] + 1) / 4).to(torch.float32).requires_grad_() for each in data]
        total, metrics = self._losses(asked, data, logprobs)
        if backward:
            total.backward()
            self.gradients += [each.grad.tolist() if each.grad is not None else None for each in logprobs]
        outputs = [{"logprobs": wire(each.detach().numpy())} for each in logprobs]
        metrics["loss:sum"] = float(total.detach())
        return self.promise({"loss_fn_output_type": "ArrayRecord", "loss_fn_outputs": outputs, "metrics": metrics})

    def _losses(self, asked: Any, data: list[dict[str, torch.Tensor]], logprobs: list[torch.Tensor]) -> Any:
        if asked["loss_fn"] == "cross_entropy":
            return sum(-(each["weights"] * p).sum() for each, p in zip(data, logprobs, strict=True)), {}
        assert asked["loss_fn"] == "custom"
        uploaded = self.losses[asked["loss_fn_config"]["loss_id"]]
        names = [each["name"] for each in uploaded["inputs"][1:]]
        results = [
            run_graph(uploaded["graph"], [p, *(each[name] for name in names)])
            for each, p in zip(data, logprobs, strict=True)
        ]
        metrics: dict[str, float] = {}
        for _, found in results:
            for name, value in found.items():
                share = float(value.detach()) / (len(data) if name.endswith(":mean") else 1)
                metrics[name] = metrics.get(name, 0.0) + share
        return sum(loss for loss, _ in results), metrics


def tensor(value: dict[str, Any]) -> torch.Tensor:
    found: torch.Tensor = TensorData(**{name: each for name, each in value.items() if each is not None}).to_torch()
    return found


def wire(array: np.ndarray[Any, Any]) -> Output:
    return {"data": array.reshape(-1).tolist(), "dtype": "float32", "shape": list(array.shape)}
