"""Prompts as the official pipeline encodes them: plain text, 226 tokens, no weights, no attention mask."""

from __future__ import annotations

import logging

from ...config import TransformerConfig
from .listening import module_listening
from .tinymodel import is_tiny_text

_END, _PAD = 1, 0  # T5's own ids


def encode_prompt(clip, text: str, length: int = TransformerConfig.max_text_seq_length):
    """Host CONDITIONING of `text`, exactly `length` T5 tokens; longer text is cut with a warning.

    Parentheses, colons and `embedding:` are plain text here, as in the official pipeline. Raises ValueError
    when `clip` is neither the T5 text encoder nor that of FantasyID-Tiny, which has a length of its own.
    """
    if is_tiny_text(clip):
        return clip.encode_from_tokens_scheduled(clip.tokenize(text))
    tokens = [[(token, 1.0) for token in prompt_ids(clip, text, length)]]
    with module_listening(clip.cond_stage_model):
        return clip.encode_from_tokens_scheduled({"t5xxl": tokens})


def prompt_ids(clip, text: str, length: int) -> list[int]:
    """The official token ids of `text`: at most length - 1 of them, end token, padding."""
    tokenizer = getattr(getattr(clip.tokenizer, "clip_t5xxl", None), "tokenizer", None)
    if tokenizer is None:
        raise ValueError(
            f"Expected the T5-XXL text encoder of CogVideoX, got {type(clip.tokenizer).__name__}. "
            "Load it with the CLIP loader and type cogvideox."
        )
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(ids) > length - 1:
        removed = tokenizer.decode(ids[length - 1 :])
        logging.warning(
            "FantasyID: the prompt is longer than %d tokens; this part is left out: %s", length - 1, removed
        )
        ids = ids[: length - 1]
    ids = [*ids, _END]
    return ids + [_PAD] * (length - len(ids))
