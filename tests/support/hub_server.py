"""A small Hub on loopback, made to the calls of `huggingface_hub` and `datasets` alone.

It speaks what publishing and pulling say: create, info, refs, tree, preupload, LFS with checksums
and parts, commit on a parent, tag, resolve with ranges. Nothing that can be installed does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from hub_http import Handler, Refused, route
from hub_repos import LARGE, READER, TOKEN, Hub, Repo

_REPO = r"(?P<kind>models|datasets)/(?P<name>[^/]+/[^/]+)"


@contextmanager
def serve() -> Iterator[Hub]:
    """A Hub on a free port of loopback, for the length of a ``with``."""
    hub = Hub()
    handler = type("BoundCalls", (Calls,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Calls(Handler):
    """The calls, one method each."""

    @route("POST", "/api/repos/create")
    def create(self) -> None:
        told = json.loads(self.body)
        kind = f"{told.get('type', 'model')}s"
        name = f"{told['organization']}/{told['name']}"
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token != TOKEN:
            raise Refused(403 if token == READER else 401, "You may not create this.")
        if f"{kind}/{name}" in self.hub.repos:
            raise Refused(409, "You already created this repo")
        repo = Repo(private=told.get("visibility") == "private")
        self.hub.repos[f"{kind}/{name}"] = repo
        first = "0" * 40
        repo.commits[first], repo.branches["main"] = {}, first
        self.hub.commit(f"{kind}/{name}", {".gitattributes": b"*.parquet filter=lfs\n"})
        self._json({"url": f"{self.hub.url}/{kind}/{name}", "name": name, "id": name})

    @route("POST", "/api/validate-yaml")
    def validate(self) -> None:
        self._json({"errors": [], "warnings": []})

    @route("GET", f"/api/{_REPO}(?:/revision/(?P<revision>.+))?")
    def info(self, kind: str, name: str, revision: str | None) -> None:
        repo = self._repo(kind, name)
        commit, tree = self._tree(repo, revision or "main")
        self._json({
            "id": name, "sha": commit, "private": repo.private, "gated": repo.gated, "tags": [],
            "downloads": 0, "likes": 0, "siblings": [{"rfilename": path} for path in sorted(tree)],
        })  # fmt: skip

    @route("GET", f"/api/{_REPO}/auth-check")
    def auth_check(self, kind: str, name: str) -> None:
        if self._repo(kind, name).gated:
            raise Refused(403, f"Access to {name} is restricted", "GatedRepo")
        self._json({})

    @route("GET", f"/api/{_REPO}/refs")
    def refs(self, kind: str, name: str) -> None:
        repo = self._repo(kind, name)
        branches = {k: v for k, v in repo.branches.items() if not k.startswith("refs/")}
        self._json({
            "branches": [_ref("heads", *one) for one in branches.items()], "converts": [],
            "tags": [_ref("tags", *one) for one in repo.tags.items()],
        })  # fmt: skip

    @route("GET", f"/api/{_REPO}/tree/(?P<revision>[^/]+)(?:/(?P<under>.*))?")
    def tree(self, kind: str, name: str, revision: str, under: str | None) -> None:
        _, tree = self._tree(self._repo(kind, name), revision)
        prefix = f"{under.rstrip('/')}/" if under else ""
        found = [path for path in tree if path.startswith(prefix)]
        if under and not found:
            raise Refused(404, f"{under} does not exist", "EntryNotFound")
        entries: dict[str, dict[str, Any]] = {}
        for path in sorted(found):
            steps = path.removeprefix(prefix).split("/")
            if len(steps) > 1 and self.query.get("recursive") not in (["true"], ["True"]):
                entries[steps[0]] = _folder(prefix + steps[0])
            else:
                entries[path] = self._entry(path, tree[path])
        self._json(list(entries.values()))

    @route("POST", f"/api/{_REPO}/paths-info/(?P<revision>[^/]+)")
    def paths_info(self, kind: str, name: str, revision: str) -> None:
        _, tree = self._tree(self._repo(kind, name), revision)
        told = self.body.decode()
        asked = json.loads(told)["paths"] if told.startswith("{") else parse_qs(told)["paths"]
        found = []
        for path in asked:
            if path in tree:
                found.append(self._entry(path, tree[path]))
            elif any(one.startswith(f"{path}/") for one in tree):
                found.append(_folder(path))
        self._json(found)

    def _entry(self, path: str, blob: str) -> dict[str, Any]:
        size = len(self.hub.blobs[blob])
        entry: dict[str, Any] = {"type": "file", "path": path, "size": size, "oid": blob}
        if len(blob) == 64:
            entry |= {"oid": blob[:40], "lfs": {"oid": blob, "size": size, "pointerSize": 128}}
        return entry

    @route("POST", f"/api/{_REPO}/preupload/(?P<revision>.+)")
    def preupload(self, kind: str, name: str, revision: str) -> None:
        repo = self._repo(kind, name, writes=True)
        _, tree = self._tree(repo, revision)
        self._json({"files": [
            {
                "path": one["path"], "shouldIgnore": False, "oid": tree.get(one["path"]),
                "uploadMode": "lfs" if one["path"].endswith(LARGE) else "regular",
            }
            for one in json.loads(self.body)["files"]
        ]})  # fmt: skip

    @route("POST", r"/(?:datasets/)?[^/]+/[^/]+\.git/info/lfs/objects/batch")
    def lfs_batch(self) -> None:
        self._json({"transfer": "basic", "objects": [
            self._instruction(one["oid"], one["size"]) for one in json.loads(self.body)["objects"]
        ]})  # fmt: skip

    def _instruction(self, oid: str, size: int) -> dict[str, Any]:
        known = {"oid": oid, "size": size}
        if oid in self.hub.blobs:
            return known  # no action: it is there already
        verify = {"href": f"{self.hub.url}/lfs/verify"}
        if size <= self.hub.part_bytes:
            return known | {
                "actions": {"upload": {"href": f"{self.hub.url}/lfs/{oid}"}, "verify": verify}
            }
        count = -(-size // self.hub.part_bytes)
        header = {str(i + 1): f"{self.hub.url}/lfs/{oid}/{i + 1}" for i in range(count)}
        header["chunk_size"] = str(self.hub.part_bytes)
        href = f"{self.hub.url}/lfs/{oid}/complete"
        return known | {"actions": {"upload": {"href": href, "header": header}, "verify": verify}}

    @route("PUT", "/lfs/(?P<oid>[0-9a-f]{64})")
    def lfs_put(self, oid: str) -> None:
        self._keep(oid, self.body)
        self._send(b"", 200, {})

    @route("PUT", "/lfs/(?P<oid>[0-9a-f]{64})/(?P<number>[0-9]+)")
    def lfs_put_part(self, oid: str, number: str) -> None:
        self.hub.parts.setdefault(oid, {})[int(number)] = self.body
        self._send(b"", 200, {"ETag": f'"{number}"'})

    @route("POST", "/lfs/(?P<oid>[0-9a-f]{64})/complete")
    def lfs_complete(self, oid: str) -> None:
        parts = self.hub.parts.pop(oid)
        self._keep(oid, b"".join(parts[number] for number in sorted(parts)))
        self._json({})

    def _keep(self, oid: str, data: bytes) -> None:
        self.hub.stored.append(oid)
        self.hub.blobs[oid] = self.hub.spoil(data)

    @route("POST", "/lfs/verify")
    def lfs_verify(self) -> None:
        oid = json.loads(self.body)["oid"]
        if hashlib.sha256(self.hub.blobs[oid]).hexdigest() != oid:
            del self.hub.blobs[oid]
            raise Refused(422, "the SHA-256 of what arrived is another one")
        self._json({})

    @route("POST", f"/api/{_REPO}/commit/(?P<revision>.+)")
    def commit(self, kind: str, name: str, revision: str) -> None:
        key = f"{kind}/{name}"
        repo = self._repo(kind, name, writes=True)
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = lines[0]["value"]
        changes = dict(self._change(line["key"], line["value"]) for line in lines[1:])
        with self.hub.lock:
            head = repo.branches[revision]
            if header.get("parentCommit", head) != head:
                raise Refused(412, "A commit has happened since. Please refresh and try again.")
            if self.query.get("create_pr"):
                branch = f"refs/pr/{sum(b.startswith('refs/') for b in repo.branches) + 1}"
                repo.branches[branch] = head
            else:
                branch = revision
            oid = self.hub.advance(key, changes, branch, header["summary"])
        self._json({
            "commitUrl": f"{self.hub.url}/{key}/commit/{oid}", "commitOid": oid,
            "pullRequestUrl": f"{self.hub.url}/{key}/discussions/{branch.split('/')[-1]}",
        })  # fmt: skip

    def _change(self, key: str, value: dict[str, Any]) -> tuple[str, str | None]:
        if key == "file":
            return value["path"], self.hub._small(base64.b64decode(value["content"]))
        if key == "lfsFile":
            if value["oid"] not in self.hub.blobs:
                raise Refused(400, f"{value['path']} points to an object that is not there")
            return value["path"], value["oid"]
        assert key == "deletedFile", key
        return value["path"], None

    @route("POST", f"/api/{_REPO}/tag/(?P<revision>.+)")
    def tag(self, kind: str, name: str, revision: str) -> None:
        repo = self._repo(kind, name, writes=True)
        commit, _ = self._tree(repo, revision)
        tag = json.loads(self.body)["tag"]
        if tag in repo.tags:
            raise Refused(409, "Tag reference exists already")
        repo.tags[tag] = commit
        self._json({})

    @route("GET", "/(?P<dataset>datasets/)?(?P<name>[^/]+/[^/]+)/resolve/"
                  "(?P<revision>[^/]+)/(?P<path>.+)")  # fmt: skip
    def resolve(self, dataset: str | None, name: str, revision: str, path: str) -> None:
        repo = self._repo("datasets" if dataset else "models", name)
        commit, tree = self._tree(repo, revision)
        if path not in tree:
            raise Refused(404, f"{path} does not exist", "EntryNotFound")
        data = self.hub.blobs[tree[path]]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{tree[path]}"', "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted:
            start, end = int(wanted[1]), int(wanted[2] or len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            self._send(data[start : end + 1], 206, headers)
        else:
            self._send(data, 200, headers)


def _ref(kind: str, name: str, commit: str) -> dict[str, str]:
    return {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit}


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}
