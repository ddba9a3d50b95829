"""A model that takes its time: random weights of about 40 million parameters, for tests that need a
prompt to be read, or an answer to be written, for seconds.

Made once with the gguf package into the user's cache folder; the tokenizer and the chat template are
those of the bundled model. What it says is noise.
"""

import hashlib
import os
import pathlib

import gguf
import numpy

from harness.corral import MODELS

EMBEDDING, LAYERS, HEADS, FEED_FORWARD, CONTEXT = 512, 12, 8, 1536, 16384
NAME = "slow"


def folder():
    """A model folder that holds slow.gguf and the bundled model."""
    tiny = MODELS / "corral-tiny.gguf"
    made_by = pathlib.Path(__file__).read_bytes() + tiny.read_bytes()
    base = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    place = base / "corral" / "slow-model" / hashlib.sha256(made_by).hexdigest()[:12]
    path = place / f"{NAME}.gguf"
    if not path.exists():
        place.mkdir(parents=True, exist_ok=True)
        partial = place / f"{NAME}.{os.getpid()}.partial"
        write(partial, tiny)
        partial.rename(path)
        (place / tiny.name).write_bytes(tiny.read_bytes())
    return place


def copy_field(writer, field):
    """One key with its type; arrays by the type of their elements."""
    kind = field.types[0]
    writer.add_key_value(
        field.name, field.contents(), kind, sub_type=field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
    )


def write(path, tiny):
    reader = gguf.GGUFReader(tiny)
    writer = gguf.GGUFWriter(path, "llama")
    for name, field in reader.fields.items():
        if name.startswith("tokenizer."):
            copy_field(writer, field)
    vocabulary = len(reader.fields["tokenizer.ggml.tokens"].data)
    writer.add_name(NAME)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBEDDING)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(EMBEDDING // HEADS)
    writer.add_vocab_size(vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)

    random = numpy.random.default_rng(1)

    def weights(rows, columns):
        return (random.standard_normal((rows, columns), dtype=numpy.float32) * 0.02).astype(numpy.float16)

    ones = numpy.ones(EMBEDDING, dtype=numpy.float32)
    writer.add_tensor("token_embd.weight", weights(vocabulary, EMBEDDING))
    writer.add_tensor("output.weight", weights(vocabulary, EMBEDDING))
    writer.add_tensor("output_norm.weight", ones)
    for layer in range(LAYERS):
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", ones)
        writer.add_tensor(f"blk.{layer}.ffn_norm.weight", ones)
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"blk.{layer}.{part}.weight", weights(EMBEDDING, EMBEDDING))
        for part in ("ffn_gate", "ffn_up"):
            writer.add_tensor(f"blk.{layer}.{part}.weight", weights(FEED_FORWARD, EMBEDDING))
        writer.add_tensor(f"blk.{layer}.ffn_down.weight", weights(EMBEDDING, FEED_FORWARD))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
