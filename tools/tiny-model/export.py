"""Writes the trained network as a GGUF file for the engine."""

from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from chat import END, END_OF_TEXT, SPECIALS, TEMPLATE

NAMES = {"attn_norm": "attn_norm", "ffn_norm": "ffn_norm", "wq": "attn_q", "wk": "attn_k",
         "wv": "attn_v", "wo": "attn_output", "gate": "ffn_gate", "up": "ffn_up",
         "down": "ffn_down"}
DESCRIPTION = ("The small language model that comes with Corral. It knows greetings, Corral and "
               "its commands, one-digit sums, counting, colours and animals.")


def interleaved(weight: np.ndarray, head_dim: int) -> np.ndarray:
    """Reorders the outputs of each head from (i, i + half) pairs to (2i, 2i + 1) pairs."""
    inputs, outputs = weight.shape
    heads = weight.reshape(inputs, outputs // head_dim, 2, head_dim // 2)
    return heads.swapaxes(2, 3).reshape(inputs, outputs)


def add_metadata(writer: gguf.GGUFWriter, config: dict[str, Any], parameters: int) -> None:
    """What the file is, and the sizes of the network."""
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name("Corral Tiny")
    writer.add_author("Corral")
    writer.add_organization("Corral")
    writer.add_basename("corral-tiny")
    writer.add_version("1")
    writer.add_license("apache-2.0")
    writer.add_description(DESCRIPTION)
    writer.add_tags(["text-generation", "chat", "tiny"])
    writer.add_languages(["en"])
    writer.add_size_label(f"{parameters / 1e6:.1f}M")
    writer.add_uint64("general.parameter_count", parameters)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config["vocab"])
    writer.add_context_length(config["context"])
    writer.add_embedding_length(config["width"])
    writer.add_block_count(config["layers"])
    writer.add_feed_forward_length(config["hidden"])
    writer.add_head_count(config["heads"])
    writer.add_head_count_kv(config["kv_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_base"])
    writer.add_layer_norm_rms_eps(config["norm_eps"])


def add_tokenizer(writer: gguf.GGUFWriter, path: Path) -> None:
    """Tokens, merges, special tokens and the chat template."""
    model = json.loads(path.read_text(encoding="utf-8"))["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    special = gguf.TokenType.CONTROL
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([special if token in SPECIALS else gguf.TokenType.NORMAL
                            for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index(END_OF_TEXT))
    writer.add_eos_token_id(tokens.index(END))
    writer.add_eot_token_id(tokens.index(END))
    writer.add_pad_token_id(tokens.index(END_OF_TEXT))
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)


def add_weights(writer: gguf.GGUFWriter, config: dict[str, Any], params: dict[str, Any]) -> None:
    """Matrices as F16 with the outputs first, norms as F32."""
    writer.add_tensor("token_embd.weight", params["embed"].astype(np.float16))
    writer.add_tensor("output_norm.weight", params["final_norm"].astype(np.float32))
    for index in range(config["layers"]):
        for name, shown in NAMES.items():
            weight = params["layers"][name][index]
            if name in ("wq", "wk"):
                weight = interleaved(weight, config["head_dim"])
            kind = np.float32 if weight.ndim == 1 else np.float16
            writer.add_tensor(f"blk.{index}.{shown}.weight",
                              np.ascontiguousarray(weight.T.astype(kind)))


def export(source: Path, target: Path) -> None:
    """Reads tokenizer and checkpoint from a folder and writes one file."""
    with (source / "checkpoint.pickle").open("rb") as file:
        saved = pickle.load(file)  # noqa: S301 - written by train.py a moment ago
    config, params = saved["config"], saved["params"]
    leaves = [params["embed"], params["final_norm"], *params["layers"].values()]
    target.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(str(target), "llama")
    add_metadata(writer, config, sum(np.asarray(leaf).size for leaf in leaves))
    add_tokenizer(writer, source / "tokenizer.json")
    add_weights(writer, config, {"embed": np.asarray(params["embed"]),
                                 "final_norm": np.asarray(params["final_norm"]),
                                 "layers": {name: np.asarray(leaf) for name, leaf
                                            in params["layers"].items()}})
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="folder of train.py")
    parser.add_argument("--target", type=Path, required=True, help="the GGUF file to write")
    options = parser.parse_args()
    export(options.source, options.target)


if __name__ == "__main__":
    main()
