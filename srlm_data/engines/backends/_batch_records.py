"""What was sent by a batch API, written down so that no later build sends it again.

    <store>/batches/<token>.json    a batch: its server, its model, its id there, its requests

A record is written before its batch is created and has no id until then; the batch carries the
record's token, so that one that was created in the moment of a kill is found by it. A record says
which requests its batch has an answer to, or will have. It is not removed when they are read: a
request whose answer is in the response cache is not looked for here, and one whose answer was read
and lost is read once more.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

from srlm_data.core import filesystem
from srlm_data.core.errors import DamagedError


@dataclass(eq=False)
class BatchRecord:
    """A batch; ``token`` names the record, and is in the batch's metadata."""

    server: str
    model: str
    keys: list[str]  # of the requests that it answers
    batch: str | None = None  # its id at the server
    token: str = field(default_factory=lambda: uuid.uuid4().hex)


class BatchRecords:
    """The records of the batches of one model at one server."""

    def __init__(self, folder: Path, server: str, model: str) -> None:
        self._folder = folder
        self._server = server
        self._model = model

    def add(self, keys: list[str]) -> BatchRecord:
        """Return a new record, which is on the disk."""
        record = BatchRecord(self._server, self._model, keys)
        self.write(record)
        return record

    def write(self, record: BatchRecord) -> None:
        """Write a record, whole or not at all; one that answers nothing any more is removed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{record.token}.json"
        with filesystem.refusals(file):
            if record.keys:
                filesystem.replace_file(file, json.dumps(asdict(record)).encode())
            else:
                file.unlink(missing_ok=True)

    def read(self) -> list[BatchRecord]:
        """Return the records, oldest first."""
        records = []
        files = sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime)
        for file in files:
            try:
                record = BatchRecord(**json.loads(file.read_bytes()))
            except (ValueError, TypeError, RecursionError):
                raise DamagedError(
                    f"{file}: the record of a batch is damaged. Remove it, and its requests are "
                    "sent again."
                ) from None
            if (record.server, record.model) == (self._server, self._model):
                records.append(record)
        return records
