"""Train and sample in twenty lines: four fruits and their colours, on a local service."""

import tinker_hl as tinker

with tinker.ServiceClient(base_url="local") as service:
    trainer = service.create_lora_training_client(base_model="tinker-hl/tiny", rank=16).result()
    tokenizer = trainer.get_tokenizer()
    data = []
    for fruit, colour in {"lemon": "yellow", "plum": "purple", "lime": "green", "cherry": "red"}.items():
        prompt = tokenizer.encode(f"{fruit} is")
        tokens = [*prompt, *tokenizer.encode(f" {colour}"), tokenizer.eos_token_id]
        weights = [0.0] * (len(prompt) - 1) + [1.0] * (len(tokens) - len(prompt))
        inputs = {"target_tokens": tokens[1:], "weights": weights}
        data.append(tinker.Datum(model_input=tinker.ModelInput.from_ints(tokens[:-1]), loss_fn_inputs=inputs))
    for step in range(20):
        passed = trainer.forward_backward(data, "cross_entropy")
        trainer.optim_step(tinker.AdamParams(learning_rate=3e-3))
        print(step, passed.result().metrics["loss:sum"])
    sampler = trainer.save_weights_and_get_sampling_client().result()
    question = tinker.ModelInput.from_ints(tokenizer.encode("lemon is"))
    sample = sampler.sample(question, 1, tinker.SamplingParams(max_tokens=10, temperature=0.0)).result()
    print(tokenizer.decode(sample.sequences[0].tokens))
