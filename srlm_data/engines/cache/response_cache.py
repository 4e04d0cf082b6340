"""The response cache of one model: what it was ever paid for is found again, and not asked again.

A response is found by its key (`engines.keys`). So a killed build continues where it was, raising N
asks only for the new samples, and a change of parser or of pairing rule asks for nothing.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from srlm_data.engines.cache import _batches
from srlm_data.engines.cache._writer import Writer
from srlm_data.engines.cache.journal import Journal, list_journals, read_intact
from srlm_data.engines.cache.sealed import SealedResponses
from srlm_data.engines.protocol import Completion, Request, response_keys


def read_sizes(root: Path) -> Iterator[pa.Table]:
    """Yield key, model and tokens of every response that a store ever paid for."""
    columns = ["key", "model", "prompt_tokens", "completion_tokens"]
    for journal in list_journals(root):
        for batch in read_intact(journal):
            yield pa.Table.from_batches([batch]).select(columns)
    for file in sorted((root / "answers").glob("*/*.parquet")):
        with contextlib.suppress(FileNotFoundError), pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(columns=columns):
                yield pa.Table.from_batches([batch]).select(columns)


class ResponseCache:
    """The responses of one model, read and written by one process for one step, as a context.

    ``sealed`` are those that another step has read before.
    """

    def __init__(
        self, root: Path, step: str, model: str, sealed: SealedResponses | None = None
    ) -> None:
        self.model = model
        self._root = root
        own = Journal(root / "journal" / f"{uuid.uuid4().hex}.log")
        self._writer = Writer(own, lambda part: _batches.to_batch(step, model, part))
        self._others: dict[Path, Journal] = {}
        self._sealed = sealed or SealedResponses(root, model)

    def __enter__(self) -> ResponseCache:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is not on the disk yet, and release the journal."""
        self._writer.close()

    def find(self, requests: Sequence[Request]) -> dict[str, Completion]:
        """Return request id -> completion of the requests that anybody has asked before."""
        keys = response_keys(self.model, requests)
        fields: dict[str, _batches.Fields] = {}
        for part in self._parts(pa.array(keys, pa.string())):
            fields |= _batches.to_fields(part)
        return {
            request.id: _batches.to_completion(request, fields[key])
            for request, key in (zip(requests, keys, strict=True) if fields else ())
            if key in fields
        }

    def others_wrote(self) -> bool:
        """Read what other writers have added to their journals; return whether they have."""
        files = [file for file in list_journals(self._root) if file != self._writer.journal.file]
        journals = [self._others.setdefault(file, Journal(file)) for file in files]
        return sum(journal.read_on() for journal in journals) > 0

    def _parts(self, keys: pa.Array) -> Iterator[pa.RecordBatch | pa.Table]:
        # Journals first: one that is sealed meanwhile is then found among the Parquet files.
        self.others_wrote()
        for journal in (self._writer.journal, *self._others.values()):
            yield from journal.find(keys)
        yield from self._sealed.find(keys)

    def add(self, completion: Completion) -> None:
        """Record a completion. A failed one is left out: the next build asks it again."""
        if completion.finish_reason != "error":
            self._writer.add(completion)

    def flush(self) -> None:
        """Wait until the disk has every completion recorded so far."""
        self._writer.flush()
