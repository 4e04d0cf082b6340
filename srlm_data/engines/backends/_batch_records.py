"""Records of the batches sent to a batch API, so that no later build sends their requests again.

    <store>/batches/<token>.json    a batch: its server, its model, its id there, its requests

A record is written before its batch is created, and has no batch id until then. The batch carries
the record's token as metadata: a batch that was created just before a kill is found by the token,
or by its file of requests where a server drops metadata. A record lists the requests that its batch
has answered or will answer. It stays after the answers are read: requests whose answers are in the
response cache are not looked up here, and an answer that was read and then lost is read again.
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
    keys: list[str]  # of the responses to its requests
    batch: str | None = None  # the server's id for the batch
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    file: str | None = None  # the server's id for the file of its requests

    def write(self, folder: Path) -> None:
        """Write the record, whole or not at all; remove it where it lists no requests any more."""
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
