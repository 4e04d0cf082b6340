"""What was sent by a batch API, written down so that no later build sends it again.

    <store>/batches/<token>.json    a batch: its server, its model, its id there, its requests

A record is written before its batch is created and has no id until then; the batch carries the
record's token, so that one that was created in the moment of a kill is found by it, or by the file
of its requests where a server forgets what a batch carries. A record says which requests its batch
has an answer to, or will have. It is not removed when they are read: a request whose answer is in
the response cache is not looked for here, and one whose answer was read and lost is read once more.
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
    file: str | None = None  # of its requests, at the server

    def write(self, folder: Path) -> None:
        """Write the record, whole or not at all; one that answers nothing any more is removed."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.token}.json"
        with filesystem.refusals(file):
            if self.keys:
                filesystem.replace_file(file, json.dumps(asdict(self)).encode())
            else:
                file.unlink(missing_ok=True)


def read_records(folder: Path, server: str, model: str) -> list[BatchRecord]:
    """Return the records of the batches of one model at one server, oldest first."""
    records = []
    for file in sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime):
        try:
            record = BatchRecord(**json.loads(file.read_bytes()))
        except (ValueError, TypeError, RecursionError):
            raise DamagedError(
                f"{file}: the record of a batch is damaged. Remove it, and its requests are "
                "sent again."
            ) from None
        if (record.server, record.model) == (server, model):
            records.append(record)
    return records
