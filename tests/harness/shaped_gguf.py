"""Writes GGUF files of a given shape whose weights are nothing.

The header is complete: an engine loads the file, reads prompts and writes tokens (always the same
one). The norms hold ones; all other weights are a hole in the file, so that a model of any size
takes no room on disk. What memory a model needs depends on its shape alone, so these files stand
for the real ones.

    shape = Shape("gemma3", blocks=12, width=768, window=512, quantization="Q4_K")
    write(folder / "gemma.gguf", shape)

Format: github.com/ggml-org/ggml/blob/master/docs/gguf.md. Standard library only.
"""

import dataclasses
import math
import struct

ALIGNMENT = 32

# Type number, elements and bytes of a block: ggml/include/ggml.h, ggml/src/ggml-common.h.
TYPES = {
    "F32": (0, 1, 4),
    "F16": (1, 1, 2),
    "Q4_0": (2, 32, 18),
    "Q8_0": (8, 32, 34),
    "Q4_K": (12, 256, 144),
    "Q6_K": (14, 256, 210),
}
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "Q4_K": 15}

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
PER_BLOCK_NORMS = {
    "llama": ("attn_norm", "ffn_norm"),
    "qwen2": ("attn_norm", "ffn_norm"),
    "qwen3": ("attn_norm", "ffn_norm"),
    "gemma3": ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"),
}
HEAD_NORMS = {"qwen3", "gemma3"}
BIASED = {"qwen2"}


@dataclasses.dataclass(frozen=True)
class Shape:
    """What decides how much memory a model takes."""

    architecture: str = "llama"  # llama, qwen2, qwen3, gemma3
    blocks: int = 8
    width: int = 1024
    heads: int = 8
    kv_heads: int = 8
    head_size: int = 0  # 0: width / heads
    forward: int = 2816  # of the feed-forward layers; of one expert where there are some
    experts: int = 0
    experts_used: int = 0
    window: int = 0  # tokens that sliding blocks look back
    vocabulary: int = 8192
    context: int = 32768
    tied: bool = False  # the output layer is the embedding
    quantization: str = "F16"  # "Q4_K" gives some tensors Q6_K, as Q4_K_M files do
    name: str = "shaped"

    @property
    def head(self):
        return self.head_size or self.width // self.heads


@dataclasses.dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple  # fastest dimension first
    type: str

    @property
    def elements(self):
        return math.prod(self.shape)

    @property
    def bytes(self):
        _, elements, size = TYPES[self.type]
        assert self.shape[0] % elements == 0, f"{self.name}: rows of {self.shape[0]} cannot be {self.type}"
        return self.elements // elements * size


def tensors(shape):
    """All tensors, in the order of the file."""
    main = shape.quantization
    finer = "Q6_K" if main == "Q4_K" else main
    out = [Tensor("token_embd.weight", (shape.width, shape.vocabulary), finer)]
    out.append(Tensor("output_norm.weight", (shape.width,), "F32"))
    if not shape.tied:
        out.append(Tensor("output.weight", (shape.width, shape.vocabulary), finer))
    for block in range(shape.blocks):
        out += block_tensors(shape, block, main, finer)
    return out


def block_tensors(shape, block, main, finer):
    queries, pairs = shape.head * shape.heads, shape.head * shape.kv_heads
    # Q4_K_M keeps every other pair of these in more bits.
    down = finer if block % 2 else main
    parts = [(norm, (shape.width,), "F32") for norm in PER_BLOCK_NORMS[shape.architecture]]
    if shape.architecture in HEAD_NORMS:
        parts += [(norm, (shape.head,), "F32") for norm in ("attn_q_norm", "attn_k_norm")]
    parts += [
        ("attn_q", (shape.width, queries), main),
        ("attn_k", (shape.width, pairs), main),
        ("attn_v", (shape.width, pairs), down),
        ("attn_output", (queries, shape.width), main),
    ]
    if shape.experts:
        parts += [
            ("ffn_gate_inp", (shape.width, shape.experts), "F32"),
            ("ffn_gate_exps", (shape.width, shape.forward, shape.experts), main),
            ("ffn_up_exps", (shape.width, shape.forward, shape.experts), main),
            ("ffn_down_exps", (shape.forward, shape.width, shape.experts), down),
        ]
    else:
        parts += [
            ("ffn_gate", (shape.width, shape.forward), main),
            ("ffn_up", (shape.width, shape.forward), main),
            ("ffn_down", (shape.forward, shape.width), down),
        ]
    named = [Tensor(f"blk.{block}.{name}.weight", size, kind) for name, size, kind in parts]
    if shape.architecture in BIASED:
        for name, size in (("attn_q", queries), ("attn_k", pairs), ("attn_v", pairs)):
            named.append(Tensor(f"blk.{block}.{name}.bias", (size,), "F32"))
    return named


def fields(shape):
    """Key, type and value of everything the header says."""
    own = shape.architecture + "."
    out = [
        ("general.architecture", STRING, shape.architecture),
        ("general.name", STRING, shape.name),
        ("general.file_type", U32, FILE_TYPES[shape.quantization]),
        (own + "context_length", U32, shape.context),
        (own + "embedding_length", U32, shape.width),
        (own + "block_count", U32, shape.blocks),
        (own + "feed_forward_length", U32, shape.forward),
        (own + "attention.head_count", U32, shape.heads),
        (own + "attention.head_count_kv", U32, shape.kv_heads),
        (own + "attention.key_length", U32, shape.head),
        (own + "attention.value_length", U32, shape.head),
        (own + "attention.layer_norm_rms_epsilon", F32, 1e-6),
        (own + "rope.dimension_count", U32, shape.head),
    ]
    if shape.experts:
        out += [(own + "expert_count", U32, shape.experts), (own + "expert_used_count", U32, shape.experts_used)]
    if shape.window:
        out.append((own + "attention.sliding_window", U32, shape.window))
    return out + tokenizer(shape.vocabulary)


def tokenizer(size):
    """A SentencePiece vocabulary in which every byte of a prompt is one token."""
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    kinds = [2, 3, 3] + [6] * 256  # unknown, control, byte
    assert size >= len(pieces), f"a vocabulary has at least {len(pieces)} tokens"
    for number in range(len(pieces), size):
        pieces.append(f"\u2581never-said-{number}")
        kinds.append(1)
    return [
        ("tokenizer.ggml.model", STRING, "llama"),
        ("tokenizer.ggml.tokens", (ARRAY, STRING), pieces),
        ("tokenizer.ggml.scores", (ARRAY, F32), [-1000.0] * size),
        ("tokenizer.ggml.token_type", (ARRAY, I32), kinds),
        ("tokenizer.ggml.bos_token_id", U32, 1),
        ("tokenizer.ggml.eos_token_id", U32, 2),
        ("tokenizer.ggml.unknown_token_id", U32, 0),
        ("tokenizer.ggml.add_bos_token", BOOL, True),
        ("tokenizer.ggml.add_space_prefix", BOOL, False),
        ("tokenizer.chat_template", STRING, CHAT_TEMPLATE),
    ]


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def scalar(kind, value):
    if kind == STRING:
        return text(value)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], value)


def value_bytes(kind, value):
    if isinstance(kind, tuple):
        array, items = kind
        head = struct.pack("<IIQ", array, items, len(value))
        return head + b"".join(scalar(items, item) for item in value)
    return struct.pack("<I", kind) + scalar(kind, value)


def padded(number):
    return (number + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def write(path, shape):
    """Writes the file and gives the bytes of its tensors."""
    all_tensors, all_fields = tensors(shape), fields(shape)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(all_tensors), len(all_fields))
    head += b"".join(text(key) + value_bytes(kind, value) for key, kind, value in all_fields)
    offsets, end = [], 0
    for tensor in all_tensors:
        offsets.append(end)
        end += padded(tensor.bytes)
    for tensor, offset in zip(all_tensors, offsets):
        head += text(tensor.name) + struct.pack("<I", len(tensor.shape))
        head += struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape)
        head += struct.pack("<IQ", TYPES[tensor.type][0], offset)
    head = head.ljust(padded(len(head)), b"\0")
    with open(path, "wb") as file:
        file.write(head)
        for tensor, offset in zip(all_tensors, offsets):
            if tensor.name.endswith("norm.weight"):
                file.seek(len(head) + offset)
                file.write(struct.pack("<f", 1.0) * tensor.elements)
        file.truncate(len(head) + end)
    return sum(tensor.bytes for tensor in all_tensors)
