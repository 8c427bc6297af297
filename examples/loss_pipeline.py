"""Train with a pipeline: cross entropy, and three terms beside it; what each is worth at every step.

The model learns two sentences. A KL penalty with an adaptive coefficient keeps it near where it began, an entropy bonus
that fades keeps it from being sure too soon, and a penalty of our own flattens its least likely tokens.
"""

import torch

import tinker_hl as tinker
from tinker_hl import losses


def least_likely(data: list[tinker.Datum], logprobs: list[torch.Tensor]) -> torch.Tensor:
    """How unlikely the least likely token of each datum is, on average."""
    return -torch.stack([row.min() for row in logprobs]).mean()


def main() -> None:
    """Train ten steps and print value, share and gradient norm of each part."""
    with tinker.ServiceClient(base_url="local") as service:
        trainer = service.create_lora_training_client(base_model="tinker-hl/tiny", rank=16, seed=1).result()
        tokenizer = trainer.get_tokenizer()
        data = []
        for text in ("the quick brown fox", "jumps over the lazy dog"):
            tokens = tokenizer.encode(text)
            data.append(tinker.Datum(tinker.ModelInput.from_ints(tokens[:-1]), {"target_tokens": tokens[1:]}))
        # A fresh adapter changes nothing, so that these are the base model's.
        data = losses.with_reference(data, losses.reference_logprobs(trainer, data))
        pipeline = losses.Pipeline(
            losses.CrossEntropy(),
            [
                losses.Term("kl", losses.KLEstimate(), losses.AdaptiveKL(target=0.5, value=1.0)),
                losses.Term("entropy", losses.Entropy(goal="maximise"), losses.Linear(2.0, 0.0, steps=10)),
                losses.Term("least-likely", least_likely, 0.1),
            ],
            gradients=True,
        )
        for step in range(10):
            passed = trainer.forward_backward_custom(data, pipeline)
            trainer.optim_step(tinker.AdamParams(learning_rate=3e-3))
            report = losses.CustomLossOutput.from_metrics(passed.result().metrics)
            print(f"step {step}  loss {report.total:.3f}  angle {report.penalty_angle:.0f} degrees")
            for term in report.regularizers:
                print(
                    f"  {term.name:12} value {term.value:8.4f}  share {term.share:7.2%}"
                    f"  gradient norm {term.gradient_norm:8.4f}"
                )


if __name__ == "__main__":
    main()
