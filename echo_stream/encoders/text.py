"""Sentence embeddings of text by a model in a folder."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from echo_stream._common.device import resolve_device
from echo_stream._common.importing import said
from echo_stream._common.typing import Array
from echo_stream.errors import ConfigError, FeatureError, SettingName

_BLOCK_ROWS = 32  # texts of one call of the model, the last ones padded with empty texts
_BLOCK_TOKENS = 16  # lengths are rounded up to a multiple
_DIGEST_CHARACTERS = 12


class TextEncoder:
    """A sentence-transformers model.

    Parameters
    ----------
    folder : str or Path
        The model's folder: `modules.json`, `config.json`, the tokenizer, weights as safetensors.
    device : str

    Raises
    ------
    ConfigError
        If the package is missing, or there is no such model.

    Notes
    -----
    Torch gives other last bits for other shapes. The model is therefore called with blocks of
    one of a few shapes, 32 texts by a multiple of 16 tokens; texts of the same number of blocks
    of tokens go together. Then a text has the same vector wherever it stands.
    """

    def __init__(self, folder: str | Path, *, device: str = "auto") -> None:
        try:
            # An extra, and slow to import.
            from sentence_transformers import SentenceTransformer  # noqa: PLC0415
            from transformers.utils.logging import (  # noqa: PLC0415
                disable_progress_bar,
                enable_progress_bar,
            )
        except ImportError as err:
            words = ' needs sentence-transformers; install it with pip install "echo-stream[text]"'
            raise ConfigError(SettingName("encoder"), words) from err
        path = Path(folder)
        if not (path / "modules.json").is_file():
            words = (
                f": no sentence-transformers model in {folder} (no modules.json); give the folder "
                "of one"
            )
            raise ConfigError(SettingName("encoder"), words)
        disable_progress_bar()  # type: ignore[no-untyped-call]  # a line on stderr
        try:
            self._model = SentenceTransformer(
                str(path),
                device=str(resolve_device(device)),
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            ).eval()
        except Exception as err:  # transformers raises a dozen classes of damaged folders
            words = f": the model in {folder} cannot be loaded: {said(err)}"
            raise ConfigError(SettingName("encoder"), words) from err
        finally:
            enable_progress_bar()  # type: ignore[no-untyped-call]
        self._identity = f"sentence-transformers:{path.resolve().name}@{_digest(path)}"
        self._dim = self([""]).shape[1]

    @property
    def identity(self) -> str:
        """Return the folder's name and the beginning of the SHA-256 of what is in it."""
        return self._identity

    @property
    def dim(self) -> int:
        """Return the length D of its vectors."""
        return int(self._dim)

    def __call__(self, payloads: Sequence[Any]) -> Array:
        """Return the vectors of n texts, of shape (n, D), float32; longer texts are cut.

        Raises
        ------
        FeatureError
            If a payload is no text.
        """
        texts = [_text(payload) for payload in payloads]
        vectors: Array | None = None
        for rows, num_tokens in self._blocks(texts):
            part = self._vectors([texts[row] for row in rows], num_tokens)
            if vectors is None:
                vectors = np.empty((len(texts), part.shape[1]), np.float32)
            vectors[rows] = part
        return np.zeros((0, self._dim), np.float32) if vectors is None else vectors

    def __deepcopy__(self, memo: dict[int, Any]) -> "TextEncoder":
        """Return itself: it never changes."""
        return self

    def _blocks(self, texts: Sequence[str]) -> list[tuple[list[int], int]]:
        """Return the texts in blocks: their rows, and the number of tokens they are padded to."""
        tokens = self._model.tokenizer(
            list(texts), truncation=True, max_length=self._most_tokens, padding=False
        )["input_ids"]
        by_length: dict[int, list[int]] = {}
        for row, ids in enumerate(tokens):
            padded = -(-len(ids) // _BLOCK_TOKENS) * _BLOCK_TOKENS
            by_length.setdefault(min(padded, self._most_tokens), []).append(row)
        return [
            (rows[start : start + _BLOCK_ROWS], num_tokens)
            for num_tokens, rows in sorted(by_length.items())
            for start in range(0, len(rows), _BLOCK_ROWS)
        ]

    def _vectors(self, texts: list[str], num_tokens: int) -> Array:
        """Return the vectors of at most a block of texts."""
        padded = texts + [""] * (_BLOCK_ROWS - len(texts))
        inputs = self._model.tokenizer(
            padded,
            padding="max_length",
            truncation=True,
            max_length=num_tokens,
            return_tensors="pt",
        )
        device = self._model.device
        with torch.inference_mode():
            outputs = self._model({name: value.to(device) for name, value in inputs.items()})
        vectors: Array = outputs["sentence_embedding"][: len(texts)].float().cpu().numpy()
        return vectors

    @property
    def _most_tokens(self) -> int:
        """The number of tokens after which texts are cut."""
        return int(self._model.max_seq_length or 512)


def _text(payload: object) -> str:
    """Return a payload that must be text."""
    if not isinstance(payload, str):
        msg = f"the encoder takes text; got a payload of type {type(payload).__name__}"
        raise FeatureError(msg)
    return payload


def _digest(folder: Path) -> str:
    """Return the beginning of the SHA-256 of the files of a folder, by their relative paths."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            whole.update(f"{content} {name.as_posix()}\n".encode())
    return whole.hexdigest()[:_DIGEST_CHARACTERS]
