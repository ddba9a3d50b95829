"""Muon for the matrices of the layers, Adam for the rest; both learn quickly from few tokens."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from model import Params

MOMENTUM, BETA_1, BETA_2, EPSILON = 0.95, 0.9, 0.95, 1e-8
MATRIX_RATE, OTHER_RATE, MATRIX_DECAY = 0.02, 3e-3, 0.01
WARM_UP_STEPS, COOLING = 30, 0.5
# Coefficients of the quintic iteration that pushes all singular values towards one.
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


class State(NamedTuple):
    """Number of the step, and the moments of each gradient."""

    step: jax.Array
    first: Params
    second: Params


def start(params: Params) -> State:
    """All moments at zero."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    second = jax.tree.map(lambda leaf: jnp.zeros(()) if leaf.ndim == 3 else jnp.zeros_like(leaf),
                          params)
    return State(jnp.zeros((), jnp.int32), zeros, second)


def orthogonal(matrix: jax.Array) -> jax.Array:
    """The nearest matrix with equal singular values, roughly."""
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / (jnp.linalg.norm(x) + 1e-7)
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x if wide else x.T


def rate(step: jax.Array, steps: int) -> jax.Array:
    """A short warm-up, then constant; the last part goes down to almost zero on a line."""
    left = jnp.maximum(steps - step, 0) / (steps * COOLING)
    return jnp.minimum(jnp.minimum(step / WARM_UP_STEPS, 1.0), left) + 1e-4


def update(params: Params, gradient: Params, state: State, steps: int) -> tuple[Params, State]:
    """One step for all weights."""
    step = state.step + 1
    scale = rate(step, steps)
    size = jnp.sqrt(sum(jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(gradient)))
    clip = jnp.minimum(1.0, 1.0 / (size + 1e-6))

    def one(weight: jax.Array, grad: jax.Array, first: jax.Array, second: jax.Array) -> Any:
        if weight.ndim == 3:
            first = MOMENTUM * first + grad
            ahead = grad + MOMENTUM * first
            turned = jnp.stack([orthogonal(ahead[index]) for index in range(len(ahead))])
            stretch = max(1.0, weight.shape[2] / weight.shape[1]) ** 0.5
            kept = weight * (1.0 - scale * MATRIX_RATE * MATRIX_DECAY)
            return kept - scale * MATRIX_RATE * stretch * turned, first, second
        grad = grad * clip
        first = BETA_1 * first + (1 - BETA_1) * grad
        second = BETA_2 * second + (1 - BETA_2) * grad * grad
        mean, spread = first / (1 - BETA_1 ** step), second / (1 - BETA_2 ** step)
        return weight - scale * OTHER_RATE * mean / (jnp.sqrt(spread) + EPSILON), first, second

    leaves, shape = jax.tree.flatten(params)
    results = [one(*values) for values in zip(
        leaves, *(shape.flatten_up_to(tree) for tree in (gradient, state.first, state.second)),
        strict=True)]
    new, first, second = (shape.unflatten(list(column)) for column in zip(*results, strict=True))
    return new, State(step, first, second)
