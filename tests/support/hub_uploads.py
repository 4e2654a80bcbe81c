"""A server with the few calls of the Hugging Face hub that an upload takes; it keeps models in memory."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_aSecretThatIsNeverShown"


@dataclass
class Repository:
    private: bool
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b""})
    commits: int = 1

    @property
    def sha(self) -> str:
        return f"{self.commits:040d}"


@dataclass
class UploadHub:
    """What the server holds, and how it answers."""

    endpoint: str = ""
    models: dict[str, Repository] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    forbidden: bool = False
    """Whether every write is refused."""
    yaml_errors: list[str] = field(default_factory=list)
    """What is wrong with every card."""
    between: dict[str, bytes] = field(default_factory=dict)
    """Files that somebody else commits to every model before the next commit."""


@contextmanager
def upload_hub() -> Iterator[UploadHub]:
    """Serve an empty hub."""
    hub = UploadHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.answer({"error": "no token"}, 401)
            elif not (found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/tree/main)?(?:/revision/main)?", path)):
                self.answer({"error": f"unknown call {path}"}, 404)
            elif found[1] not in hub.models:
                self.answer({"error": "Repository not found"}, 404, "RepoNotFound")
            elif found[2]:
                self.answer([self.entry(name, data) for name, data in hub.models[found[1]].files.items()])
            else:
                model = hub.models[found[1]]
                names = [{"rfilename": name} for name in model.files]
                self.answer({"id": found[1], "sha": model.sha, "private": model.private, "siblings": names})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            path = unquote(urlsplit(self.path).path)
            if hub.forbidden and path != "/api/validate-yaml":
                self.answer({"error": "You have no right to do that"}, 403)
            elif path == "/api/repos/create":
                given = json.loads(body)
                name = f"{given['organization']}/{given['name']}"
                private = given.get("private", given.get("visibility") == "private")
                hub.models[name] = Repository(private)
                self.answer({"url": f"{hub.endpoint}/{name}"})
            elif path == "/api/validate-yaml":
                errors = [{"message": text} for text in hub.yaml_errors]
                self.answer({"errors": errors, "warnings": []}, 400 if errors else 200)
            elif path.endswith("/preupload/main"):
                paths = [file["path"] for file in json.loads(body)["files"]]
                self.answer({"files": [self.mode(name) for name in paths]})
            elif path.endswith("/info/lfs/objects/batch"):
                objects = [self.action(each) for each in json.loads(body)["objects"]]
                self.answer({"transfer": "basic", "objects": objects})
            elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
                self.commit(found[1], [json.loads(line) for line in body.splitlines()])
            else:
                self.answer({"error": f"unknown call {path}"}, 404)

        def do_PUT(self) -> None:
            hub.blobs[self.path.rpartition("/")[2]] = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer({})

        def mode(self, name: str) -> dict[str, object]:
            large = name.endswith((".safetensors", ".onnx", ".parquet"))
            return {"path": name, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}

        def action(self, asked: dict[str, object]) -> dict[str, object]:
            return {**asked, "actions": {"upload": {"href": f"{hub.endpoint}/blobs/{asked['oid']}", "header": {}}}}

        def entry(self, name: str, data: bytes) -> dict[str, object]:
            return {"type": "file", "oid": hashlib.sha1(data).hexdigest(), "size": len(data), "path": name}

        def commit(self, name: str, operations: list[dict]) -> None:
            model = hub.models[name]
            if hub.between:
                model.files |= hub.between
                model.commits += 1
            parent = operations[0]["value"].get("parentCommit")
            if parent not in (None, model.sha):
                self.answer({"error": "A commit has happened since. Please refresh and try again."}, 412)
                return
            for operation in operations[1:]:
                value = operation["value"]
                if operation["key"] == "deletedFile":
                    del model.files[value["path"]]
                else:
                    is_file = operation["key"] == "file"
                    model.files[value["path"]] = (
                        base64.b64decode(value["content"]) if is_file else hub.blobs[value["oid"]]
                    )
            model.commits += 1
            self.answer({"commitUrl": f"{hub.endpoint}/{name}/commit/{model.sha}", "commitOid": model.sha})

        def answer(self, content: object, status: int = 200, code: str = "") -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
