"""The network: a small Llama (RMSNorm, rotary positions, SwiGLU, grouped attention) in JAX.

Rotary positions turn the pairs (i, i + head_dim / 2), which is quick here. The engine turns
interleaved pairs (2i, 2i + 1) for the architecture `llama`; `export.py` reorders the weights.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp

Params = dict[str, Any]


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network; every matrix side is a multiple of 64."""

    vocab: int = 1024
    width: int = 192
    layers: int = 3
    heads: int = 3
    kv_heads: int = 3
    head_dim: int = 64
    hidden: int = 512
    rope_base: float = 10000.0
    norm_eps: float = 1e-5
    context: int = 4096

    def as_dict(self) -> dict[str, Any]:
        """The sizes as plain data, for checkpoints."""
        return asdict(self)


def init_params(config: ModelConfig, seed: int) -> Params:
    """Random start weights; layers are stacked on the first axis so that they can be scanned."""
    keys = iter(jax.random.split(jax.random.PRNGKey(seed), 8))
    depth, width, hidden = config.layers, config.width, config.hidden
    queries, keys_values = config.heads * config.head_dim, config.kv_heads * config.head_dim
    residual_scale = (2 * depth) ** -0.5

    def normal(shape: tuple[int, ...], scale: float = 1.0) -> jax.Array:
        return jax.random.normal(next(keys), shape, jnp.float32) * scale * shape[-2] ** -0.5

    return {
        "embed": jax.random.normal(next(keys), (config.vocab, width), jnp.float32) * 0.02,
        "final_norm": jnp.ones((width,)),
        "layers": {
            "attn_norm": jnp.ones((depth, width)),
            "ffn_norm": jnp.ones((depth, width)),
            "wq": normal((depth, width, queries)),
            "wk": normal((depth, width, keys_values)),
            "wv": normal((depth, width, keys_values)),
            "wo": normal((depth, queries, width), residual_scale),
            "gate": normal((depth, width, hidden)),
            "up": normal((depth, width, hidden)),
            "down": normal((depth, hidden, width), residual_scale),
        },
    }


def count_params(params: Params) -> int:
    """The number of weights."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def rms_norm(x: jax.Array, weight: jax.Array, eps: float) -> jax.Array:
    """Root-mean-square normalisation."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def rotary_tables(config: ModelConfig, length: int) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines, shape (length, head_dim / 2)."""
    steps = jnp.arange(0, config.head_dim, 2, dtype=jnp.float32) / config.head_dim
    angles = jnp.arange(length, dtype=jnp.float32)[:, None] * config.rope_base ** -steps[None, :]
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """Turns the pairs (i, i + head_dim / 2) of x, shape (batch, heads, time, head_dim)."""
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)


def attention(config: ModelConfig, layer: Params, x: jax.Array, tables: Any,
              mask: jax.Array) -> jax.Array:
    """Causal attention inside each packed document; mask is 0 where a token may look."""
    batch, time, _ = x.shape

    def heads(weight: jax.Array, count: int) -> jax.Array:
        return (x @ weight).reshape(batch, time, count, config.head_dim).transpose(0, 2, 1, 3)

    q = rotate(heads(layer["wq"], config.heads) * config.head_dim ** -0.5, *tables)
    k = rotate(heads(layer["wk"], config.kv_heads), *tables)
    v = heads(layer["wv"], config.kv_heads)
    groups = config.heads // config.kv_heads
    if groups > 1:
        k, v = jnp.repeat(k, groups, axis=1), jnp.repeat(v, groups, axis=1)
    scores = jax.nn.softmax(jnp.einsum("bhqd,bhkd->bhqk", q, k) + mask, axis=-1)
    mixed = jnp.einsum("bhqk,bhkd->bhqd", scores, v)
    return mixed.transpose(0, 2, 1, 3).reshape(batch, time, -1) @ layer["wo"]


def block(config: ModelConfig, layer: Params, x: jax.Array, tables: Any,
          mask: jax.Array) -> jax.Array:
    """One layer: attention, then the gated feed-forward part."""
    x = x + attention(config, layer, rms_norm(x, layer["attn_norm"], config.norm_eps), tables, mask)
    y = rms_norm(x, layer["ffn_norm"], config.norm_eps)
    return x + (jax.nn.silu(y @ layer["gate"]) * (y @ layer["up"])) @ layer["down"]


def forward(config: ModelConfig, params: Params, tokens: jax.Array,
            segments: jax.Array) -> jax.Array:
    """Logits for each position; a token sees only earlier tokens of its own segment."""
    time = tokens.shape[1]
    causal = jnp.tril(jnp.ones((time, time), bool))
    same = segments[:, :, None] == segments[:, None, :]
    mask = jnp.where(same & causal[None], 0.0, -1e9)[:, None]
    tables = rotary_tables(config, time)
    x = params["embed"][tokens]
    for index in range(config.layers):
        layer = jax.tree.map(lambda leaf: leaf[index], params["layers"])
        x = block(config, layer, x, tables, mask)
    return rms_norm(x, params["final_norm"], config.norm_eps) @ params["embed"].T


def loss_fn(config: ModelConfig, params: Params, tokens: jax.Array, segments: jax.Array,
            weights: jax.Array) -> jax.Array:
    """Mean cross entropy of the next token; weights[t] counts the prediction of tokens[t]."""
    logits = forward(config, params, tokens[:, :-1], segments[:, :-1])
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    picked = jnp.take_along_axis(log_probs, tokens[:, 1:, None], axis=-1)[..., 0]
    wanted = weights[:, 1:]
    return -(picked * wanted).sum() / jnp.maximum(wanted.sum(), 1.0)
