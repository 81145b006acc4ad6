"""A Hub that answers on this machine, for what is uploaded to it."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def is_private(repo):
    """Read what a repository was asked to be, as older and newer clients of the Hub write it."""
    return repo["private"] if "private" in repo else repo["visibility"] == "private"


class Hub(ThreadingHTTPServer):
    """A Hub that takes everything into memory, or refuses with one status."""

    def __init__(self, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status, self.asked, self.files, self.repo = status, [], {}, {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        hub = self.server
        hub.asked.append((self.path, self.headers.get("Authorization")))
        if "/tree/" in self.path:
            self._say([{"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
                       for name, data in hub.files.items()])  # fmt: skip
        elif self.path.startswith("/api/spaces/") and not hub.repo and hub.status == 200:
            self._say({"error": "Repository not found"}, 404)
        else:
            siblings = [{"rfilename": name} for name in hub.files]
            self._say({"sha": "0" * 40, "siblings": siblings, "id": "me/mine"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        hub = self.server
        hub.asked.append((self.path, self.headers.get("Authorization")))
        if hub.status != 200:
            self._say({"error": f"no, {self.headers.get('Authorization')}"})
        elif self.path.endswith("/create"):
            hub.repo = json.loads(body)
            self._say({"url": f"{hub.address}/me/mine", "id": "me/mine"})
        elif "/preupload/" in self.path:
            files = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                     for each in json.loads(body)["files"]]  # fmt: skip
            self._say({"files": files})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    hub.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "deletedFile":
                    del hub.files[value["path"]]
            about = {"commitUrl": f"{hub.address}/me/mine/commit/1", "commitOid": "1" * 40}
            self._say(about | {"hookOutput": "", "success": True})
        elif self.path.startswith("/api/buckets/"):
            name = self.path.removeprefix("/api/buckets/")
            self._say({"url": f"{hub.address}/buckets/{name}", "name": name})
        elif self.path.endswith("/hardware"):
            self._say({"stage": "BUILDING", "hardware": {"requested": json.loads(body)["flavor"]}})
        else:
            self._say({})

    def _say(self, content, status=0):
        data = json.dumps(content).encode()
        self.send_response(status or self.server.status)
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass
