"""A GGUF file of a wanted size that says it is a model, with weights of noise. For tests that move
files; no engine runs it."""

import random
import struct

ALIGNMENT = 32


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def string_value(key, value):
    return text(key) + struct.pack("<I", 8) + text(value)


def number_value(key, value, kind=4):
    return text(key) + struct.pack("<I", kind) + struct.pack({2: "<H", 4: "<I", 5: "<i"}[kind], value)


def small_head(weights, *, seed=1, split=None, architecture="llama"):
    """All but the weights, of which `weights` bytes (a multiple of four) follow."""
    values = [
        string_value("general.architecture", architecture),
        string_value("general.name", f"small {seed}"),
        number_value("llama.context_length", 512),
        number_value("llama.embedding_length", 64),
        number_value("llama.block_count", 1),
        number_value("llama.attention.head_count", 4),
        number_value("llama.feed_forward_length", 128),
    ]
    if split:
        values += [
            number_value("split.no", split[0], 2),
            number_value("split.count", split[1], 2),
            number_value("split.tensors.count", split[1], 5),
        ]
    tensor = text(f"blk.{split[0] if split else 0}.attn_q.weight") + struct.pack("<IQIQ", 1, weights // 4, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(values)) + b"".join(values) + tensor
    return head + b"\0" * (-len(head) % ALIGNMENT)


def small_gguf(weights, *, seed=1, split=None, architecture="llama"):
    """About `weights` bytes of F32 weights; `split` is (number from 0, count)."""
    weights = max(4, weights // 4 * 4)
    head = small_head(weights, seed=seed, split=split, architecture=architecture)
    return head + random.Random(seed).randbytes(weights)
