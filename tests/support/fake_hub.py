"""A server with the few calls of the Hugging Face hub that reading a dataset takes, over files of a folder."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0" * 40
DATASET = "owner/name"


@contextmanager
def hub(folder: Path, *, failing: int = 0, model: str = "", delay: float = 0.0) -> Iterator[str]:
    """Serve a folder as a dataset, or as a model; yield the endpoint.

    Args:
        folder: the dataset's files.
        failing: every how many-th read of a file fails, with half of its bytes; 0 for none.
        model: OWNER/NAME of the model that the folder is; by default it is the dataset.
        delay: seconds to every answer.
    """
    reads = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            paths = json.loads(body)["paths"] if body.startswith("{") else []
            if not paths:
                paths = [
                    unquote(part.partition("=")[2].replace("+", " "))
                    for part in body.split("&")
                    if part.startswith("paths=")
                ]
            self.send_json([entry(folder / path) for path in paths if (folder / path).exists()])

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            time.sleep(delay)
            if model and (found := re.fullmatch(rf"/{model}/resolve/[^/]+/(.+)", path)):
                self.send_model_file(found[1])
            elif path == f"/api/datasets/{DATASET}" or re.fullmatch(rf"/api/datasets/{DATASET}/revision/[^/]+", path):
                self.send_json(
                    {"id": DATASET, "sha": COMMIT, "private": False, "tags": [], "downloads": 0, "siblings": []}
                )
            elif found := re.fullmatch(rf"/api/datasets/{DATASET}/tree/[^/]+(?:/(.*))?", path):
                self.send_tree(folder / (found[1] or ""))
            elif found := re.fullmatch(rf"/datasets/{DATASET}/resolve/[^/]+/(.+)", path):
                self.send_file(folder / found[1])
            else:
                self.send_error(404)

        def send_tree(self, place: Path) -> None:
            if not place.is_dir():
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_json([entry(each) for each in sorted(place.iterdir())])

        def send_json(self, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def send_model_file(self, name: str) -> None:
            if (folder / name).is_file():
                self.send_file(folder / name)
                return
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send_file(self, path: Path) -> None:
            nonlocal reads
            data = path.read_bytes()
            start, stop = 0, len(data)
            if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                start, stop = int(asked[1]), int(asked[2] or len(data)) + 1
            part = data[start:stop]
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(part)))
            self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(data)}")
            self.send_header("ETag", f'"{len(data)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            reads += 1
            if self.command == "HEAD":
                return
            if failing and reads % failing == 0:
                self.wfile.write(part[: len(part) // 2])
                self.close_connection = True
                return
            self.wfile.write(part)

    def entry(path: Path) -> dict[str, object]:
        name = str(path.relative_to(folder))
        if path.is_dir():
            return {"type": "directory", "oid": COMMIT, "size": 0, "path": name}
        return {"type": "file", "oid": COMMIT, "size": path.stat().st_size, "path": name}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
