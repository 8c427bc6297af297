"""A hub of one process: as much of the Hugging Face hub's HTTP API as publishing a folder takes, Git LFS included."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs

COMMIT = "0" * 40


@attrs.define
class FakeHub:
    url: str = ""
    token: str = "hf_secret"
    repositories: dict[str, dict[str, bytes]] = attrs.field(factory=dict)
    private: dict[str, bool] = attrs.field(factory=dict)
    objects: dict[str, bytes] = attrs.field(factory=dict)
    """What was uploaded by LFS, by SHA-256."""
    messages: list[str] = attrs.field(factory=list)
    writes: int = 0
    card_status: int = 0
    """What is answered instead of a model card; 0 for the card."""


@contextmanager
def running_hub() -> Iterator[FakeHub]:
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/api/whoami-v2":
                if self.headers.get("authorization") != f"Bearer {hub.token}":
                    return self.answer(401, {"error": "who are you"})
                return self.answer(200, {"name": "me", "type": "user", "orgs": []})
            found = re.fullmatch(r"/(\w[\w.-]*/\w[\w.-]*)/resolve/[^/]+/(.+)", self.path)
            if found is None:
                return self.answer(404, {"error": "?"})
            if hub.card_status and found[2] == "README.md":
                return self.answer(hub.card_status, {"error": "not now"})
            files = hub.repositories.get(found[1])
            if files is None:
                return self.answer(404, {"error": "no repository"}, {"X-Error-Code": "RepoNotFound"})
            content = files.get(found[2])
            if content is None:
                return self.answer(404, {"error": "no entry"}, {"X-Error-Code": "EntryNotFound"})
            tag = hashlib.sha256(content).hexdigest()
            return self.answer(200, content, {"X-Repo-Commit": COMMIT, "ETag": f'"{tag}"'})

        do_HEAD = do_GET  # noqa: N815 - the name that the library calls

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            hub.writes += 1
            if self.headers.get("authorization") != f"Bearer {hub.token}":
                return self.answer(401, {"error": "who are you"})
            if self.path == "/api/repos/create":
                asked = json.loads(body)
                name = f"{asked.get('organization') or 'me'}/{asked['name']}"
                status = 409 if name in hub.repositories else 200
                hub.repositories.setdefault(name, {})
                hub.private.setdefault(name, bool(asked.get("private") or asked.get("visibility") == "private"))
                return self.answer(status, {"url": f"{hub.url}/{name}", "name": name, "id": name})
            if self.path == "/api/validate-yaml":
                return self.answer(200, {"errors": [], "warnings": []})
            if "/preupload/" in self.path:
                files = json.loads(body)["files"]
                modes = [
                    {"path": one["path"], "uploadMode": _mode(one["path"]), "shouldIgnore": False, "oid": None}
                    for one in files
                ]
                return self.answer(200, {"files": modes})
            if self.path.endswith("/info/lfs/objects/batch"):
                objects = json.loads(body)["objects"]
                answer = [
                    {**one, "actions": {"upload": {"href": f"{hub.url}/lfs/{one['oid']}", "header": {}}}}
                    for one in objects
                ]
                return self.answer(200, {"transfer": "basic", "objects": answer})
            found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/([^/?]+)(\?.*)?", self.path)
            if found is None:
                return self.answer(404, {"error": self.path})
            for line in body.splitlines():
                entry: Any = json.loads(line)
                value = entry["value"]
                if entry["key"] == "header":
                    hub.messages.append(value["summary"])
                elif entry["key"] == "file":
                    hub.repositories[found[1]][value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    hub.repositories[found[1]][value["path"]] = hub.objects[value["oid"]]
            url = f"{hub.url}/{found[1]}/commit/{COMMIT}"
            pull = {"pullRequestUrl": f"{hub.url}/{found[1]}/discussions/1"} if "create_pr" in self.path else {}
            return self.answer(200, {"success": True, "commitOid": COMMIT, "commitUrl": url, **pull})

        def do_PUT(self) -> None:
            content = self.body()
            hub.writes += 1
            name = self.path.rpartition("/")[2]
            if hashlib.sha256(content).hexdigest() != name:
                return self.answer(400, {"error": "another hash"})
            hub.objects[name] = content
            return self.answer(200, {})

        def body(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length", 0)))
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content

        def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _mode(path: str) -> str:
    return "lfs" if path.endswith(".safetensors") else "regular"
