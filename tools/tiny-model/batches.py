"""Packs documents into rows of a fixed length; a document is never cut."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from corpus import Document
from vocabulary import encode

OPEN_ROWS = 24
USUAL_ANSWER = 16


class Batch(NamedTuple):
    """Rows of tokens, the number of the document of each token, and its weight."""

    tokens: np.ndarray
    segments: np.ndarray
    weights: np.ndarray


class Row:
    """One row while it fills up."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.segments: list[int] = []
        self.weights: list[float] = []
        self.documents = 0

    def add(self, ids: list[int], weights: list[float]) -> None:
        """Appends a document; its first token is never predicted."""
        self.documents += 1
        self.tokens += ids
        self.segments += [self.documents] * len(ids)
        self.weights += balanced([0.0, *weights[1:]])


def balanced(weights: list[float]) -> list[float]:
    """Scales each answer, so that a long one does not drown the short ones."""
    result: list[float] = []
    for counts, run in itertools.groupby(weights, bool):
        part = list(run)
        scale = (USUAL_ANSWER / len(part)) ** 0.5 if counts else 1.0
        result += [weight * scale for weight in part]
    return result


def rows(documents: Iterator[Document], tokenizer: Tokenizer, length: int) -> Iterator[Row]:
    """Endless full rows; each document goes into the fullest open row that has room for it."""
    waiting = [Row() for _ in range(OPEN_ROWS)]
    for document in documents:
        ids, weights = encode(tokenizer, document)
        if len(ids) > length:
            continue
        fitting = [row for row in waiting if len(row.tokens) + len(ids) <= length]
        if not fitting:
            fullest = max(waiting, key=lambda row: len(row.tokens))
            waiting.remove(fullest)
            yield fullest
            fitting = [Row()]
            waiting += fitting
        max(fitting, key=lambda row: len(row.tokens)).add(ids, weights)


def padded(values: list[float], length: int, kind: type) -> np.ndarray:
    """The values as an array, filled up with zeros."""
    result = np.zeros(length, kind)
    result[:len(values)] = values
    return result


def batches(documents: Iterator[Document], tokenizer: Tokenizer, count: int,
            length: int) -> Iterator[Batch]:
    """Endless batches of `count` rows with `length` tokens each."""
    source = rows(documents, tokenizer, length)
    while True:
        some = [next(source) for _ in range(count)]
        stack = partial(stacked, some, length)
        yield Batch(stack("tokens", np.int32), stack("segments", np.int32),
                    stack("weights", np.float32))


def stacked(some: list[Row], length: int, name: str, kind: type) -> np.ndarray:
    """One field of all rows as a matrix."""
    return np.stack([padded(getattr(row, name), length, kind) for row in some])
