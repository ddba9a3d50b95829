"""Trains the network on documents made on the fly and saves a checkpoint."""

from __future__ import annotations

import argparse
import itertools
import pickle
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tokenizers import Tokenizer

import optimiser
from batches import Batch, batches
from corpus import long_documents, short_documents, text_of
from model import ModelConfig, Params, count_params, init_params, loss_fn
from vocabulary import save, train_tokenizer
from world.numbers import LARGEST
from world.unknown import SEED

SHORT_SHAPE, LONG_SHAPE = (16, 129), (4, 513)
LONG_EVERY = 6
TOKENIZER_DOCUMENTS = 20000
LOG_EVERY, SAVE_EVERY = 20, 50


def make_step(config: ModelConfig, steps: int) -> Any:
    """One compiled training step."""
    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Params, state: optimiser.State,
             batch: Batch) -> tuple[Params, optimiser.State, jax.Array]:
        loss, gradient = jax.value_and_grad(partial(loss_fn, config))(params, *batch)
        return *optimiser.update(params, gradient, state, steps), loss
    return step


def save_checkpoint(path: Path, config: ModelConfig, params: Params, state: optimiser.State,
                    done: int) -> None:
    """Writes sizes, weights and the state of the optimiser, in one piece."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_file = path.with_suffix(".new")
    with partial_file.open("wb") as file:
        pickle.dump({"config": config.as_dict(), "params": jax.device_get(params),
                     "state": tuple(jax.device_get(state)), "done": done}, file)
    partial_file.replace(path)


def make_tokenizer(path: Path, size: int) -> Tokenizer:
    """Learns the tokenizer from documents that are like those of the training."""
    started = time.time()
    numbers = [str(number) for number in range(10, LARGEST + 1)] * (TOKENIZER_DOCUMENTS // 20)
    sample = itertools.chain(itertools.islice(short_documents(SEED + 2), TOKENIZER_DOCUMENTS),
                             itertools.islice(long_documents(SEED + 3), TOKENIZER_DOCUMENTS // 20))
    tokenizer = train_tokenizer(itertools.chain(numbers, map(text_of, sample)), size)
    save(tokenizer, path)
    print(f"tokenizer: {tokenizer.get_vocab_size()} tokens, {time.time() - started:.0f} s",
          flush=True)
    return tokenizer


def all_batches(tokenizer: Tokenizer) -> Iterator[tuple[bool, Batch]]:
    """Endless batches; each sixth one has long rows."""
    short = batches(short_documents(), tokenizer, *SHORT_SHAPE)
    long = batches(long_documents(), tokenizer, *LONG_SHAPE)
    for number in itertools.count(1):
        is_long = number % LONG_EVERY == 0
        yield is_long, next(long if is_long else short)


class Progress:
    """Prints the loss and the speed now and then."""

    def __init__(self, first: int, steps: int) -> None:
        self.first, self.steps, self.begun = first, steps, time.time()
        self.losses: dict[bool, list[jax.Array]] = {False: [], True: []}
        self.seen = 0

    def note(self, number: int, is_long: bool, tokens: int, loss: jax.Array) -> None:
        """Counts one step."""
        self.losses[is_long].append(loss)
        self.seen += tokens
        if number % LOG_EVERY and number != self.steps:
            return
        spent = time.time() - self.begun
        mean = {kind: float(np.mean(jax.device_get(some))) if some else float("nan")
                for kind, some in self.losses.items()}
        left = spent / (number - self.first) * (self.steps - number)
        print(f"step {number}/{self.steps} loss {mean[False]:.4f} (long rows {mean[True]:.4f}) "
              f"{self.seen / spent:.0f} tok/s {spent:.0f} s, {left:.0f} s to go", flush=True)
        self.losses = {False: [], True: []}


def train(out: Path, steps: int, config: ModelConfig, resume: bool) -> None:
    """Tokenizer, then all steps, then the checkpoint."""
    started = time.time()
    checkpoint, done = out / "checkpoint.pickle", 0
    path = out / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path)) if resume else make_tokenizer(path, config.vocab)
    params = init_params(config, SEED)
    state = optimiser.start(params)
    if resume:
        with checkpoint.open("rb") as file:
            saved = pickle.load(file)  # noqa: S301 - written by this program
        params, done = jax.tree.map(jnp.asarray, saved["params"]), saved["done"]
        state = optimiser.State(*jax.tree.map(jnp.asarray, saved["state"]))
    step = make_step(config, steps)
    print(f"network: {count_params(params)} parameters", flush=True)
    progress = Progress(done, steps)
    source = itertools.islice(enumerate(all_batches(tokenizer), 1), done, steps)
    for number, (is_long, batch) in source:
        params, state, loss = step(params, state, batch)
        progress.note(number, is_long, batch.tokens.size, loss)
        if number % SAVE_EVERY == 0 or number == steps:
            save_checkpoint(checkpoint, config, params, state, number)
    print(f"trained: {time.time() - started:.0f} s wall, {time.process_time():.0f} s CPU",
          flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    options = parser.parse_args()
    train(options.out, options.steps, ModelConfig(), options.resume)


if __name__ == "__main__":
    main()
