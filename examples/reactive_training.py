"""A marimo app: train a tiny adapter, and sample from it again whenever the prompt is changed.

As a program: `python examples/reactive_training.py`. In a browser: `marimo edit examples/reactive_training.py`, after
`pip install marimo`. The cells `await`, as marimo has a loop of its own.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App()

with app.setup:
    import marimo as mo

    import tinker_hl as tinker
    from tinker_hl.tokenizer import Tokenizer


@app.function
def datum(prompt: str, completion: str, tokenizer: Tokenizer) -> tinker.Datum:
    """A prompt, and what is to follow it; only that is learned."""
    asked = tokenizer.encode(prompt)
    tokens = [*asked, *tokenizer.encode(completion), tokenizer.eos_token_id]
    weights = [0.0] * (len(asked) - 1) + [1.0] * (len(tokens) - len(asked))
    inputs = {"target_tokens": tokens[1:], "weights": weights}
    return tinker.Datum(model_input=tinker.ModelInput.from_ints(tokens[:-1]), loss_fn_inputs=inputs)


@app.cell
async def _():
    service = tinker.ServiceClient(base_url="local")  # TINKER_BASE_URL and a key instead: any other service
    trainer = await service.create_lora_training_client_async(base_model="tinker-hl/tiny", rank=16, seed=1)
    tokenizer = trainer.get_tokenizer()
    return tokenizer, trainer


@app.cell
async def _(tokenizer, trainer):
    colours = {"lemon": "yellow", "plum": "purple", "lime": "green", "cherry": "red"}
    data = [datum(f"{fruit} is", f" {colour}", tokenizer) for fruit, colour in colours.items()]
    losses = []
    for _ in range(20):
        passed = trainer.forward_backward(data, "cross_entropy")
        updated = trainer.optim_step(tinker.AdamParams(learning_rate=3e-3))
        losses.append((await passed).metrics["loss:sum"])
        await updated
    sampler = await trainer.save_weights_and_get_sampling_client_async()
    print(f"{losses[0]:.1f} -> {losses[-1]:.2f}")
    return (sampler,)


@app.cell
def _():
    prompt = mo.ui.text(value="plum is", label="prompt")
    mo.output.append(prompt)
    return (prompt,)


@app.cell
async def _(prompt, sampler, tokenizer):
    asked = tinker.ModelInput.from_text(prompt.value, tokenizer)
    answer = await sampler.sample_async(asked, 1, tinker.SamplingParams(max_tokens=10, temperature=0.0))
    print(prompt.value + tokenizer.decode(answer.sequences[0].tokens, skip_special_tokens=True))


if __name__ == "__main__":
    app.run()
