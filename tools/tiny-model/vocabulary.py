"""The tokenizer: byte-level BPE with the pattern of GPT-2; small numbers are tokens of their own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

from chat import SPECIALS, Piece


def train_tokenizer(texts: Iterable[str], size: int) -> Tokenizer:
    """Learns the merges from the project's own texts."""
    tokenizer = Tokenizer(BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.pre_tokenizer = byte_level
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, show_progress=False,
        special_tokens=list(SPECIALS), initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIALS])
    return tokenizer


def encode(tokenizer: Tokenizer, pieces: list[Piece]) -> tuple[list[int], list[float]]:
    """Token ids of a document and the weight of each."""
    ids: list[int] = []
    weights: list[float] = []
    for text, weight in pieces:
        part = tokenizer.encode(text, add_special_tokens=False).ids
        ids += part
        weights += [weight] * len(part)
    return ids, weights


def save(tokenizer: Tokenizer, path: Path) -> None:
    """Writes the tokenizer as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
