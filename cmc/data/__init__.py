"""Instruction and forget/retain records as labelled token batches."""

from cmc.data.batches import (
    Example,
    TokenBatch,
    bucketed_batches,
    encode_example,
    encode_records,
    token_batch,
)
from cmc.data.columns import Record
from cmc.data.formats import chat_prompt, format_prompt, prompt_text, response_prefix
from cmc.data.json_files import read_json
from cmc.data.records import fingerprint_records, read_records, split_records
from cmc.data.refusals import read_refusals, refuse_records

__all__ = [
    "Example",
    "Record",
    "TokenBatch",
    "bucketed_batches",
    "chat_prompt",
    "encode_example",
    "encode_records",
    "fingerprint_records",
    "format_prompt",
    "prompt_text",
    "read_json",
    "read_records",
    "read_refusals",
    "refuse_records",
    "response_prefix",
    "split_records",
    "token_batch",
]
