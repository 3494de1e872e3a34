"""A hub on this machine, for huggingface_hub to download from, and caches as the hubs' own tools lay them out."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """A hub that serves directories.

    Attributes:
        endpoint: For ``HF_ENDPOINT``.
        requested: The files that were downloaded, in order.
    """

    endpoint: str
    requested: list[str] = field(default_factory=list)


@contextmanager
def serve(models: dict[str, Path]) -> Iterator[Hub]:
    """Serve each directory under its id, at revision ``main``, as huggingface.co would."""
    hub = Hub("")

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = self.path.split("?")[0].strip("/")
            for name, directory in models.items():
                if path.startswith(f"api/models/{name}"):
                    files = sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())
                    info = {"id": name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]}
                    self._send(json.dumps(info).encode(), "application/json", body)
                    return
                prefix = f"{name}/resolve/"
                if path.startswith(prefix):
                    file = path[len(prefix) :].split("/", 1)[1]
                    if (directory / file).is_file():
                        if body:
                            hub.requested.append(file)
                        self._send((directory / file).read_bytes(), "application/octet-stream", body)
                        return
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _send(self, content: bytes, kind: str, body: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def put_into_huggingface_cache(
    cache: Path, name: str, directory: Path, *, commit: str = COMMIT, ref: str = "main", subfolder: str = ""
) -> Path:
    """Lay ``directory`` out in HuggingFace's cache: blobs, and links to them in a snapshot; return the snapshot."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot, blobs = repository / "snapshots" / commit, repository / "blobs"
    (snapshot / subfolder).mkdir(parents=True, exist_ok=True)
    blobs.mkdir(exist_ok=True)
    for file in directory.iterdir():
        blob = blobs / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy(file, blob)
        (snapshot / subfolder / file.name).symlink_to(blob)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / ref).write_text(commit)
    return snapshot
