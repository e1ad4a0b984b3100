"""A Hugging Face Hub of one's own on loopback: what publishing models and Spaces asks of it.

Speaks the Hub's HTTP protocol, with large files by git LFS. Keeps everything in memory. A
repository is known as in the address of its page: owner/name of a model, spaces/owner/name.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

OWNER = "owner"
TOKEN, READ_TOKEN = "hf_madeUpTokenThatMayWrite", "hf_madeUpTokenThatMayRead"

Files = dict[str, bytes]


@dataclass
class Repository:
    """A model or Space: its branches, and the files of every commit."""

    private: bool = False
    sdk: str | None = None
    """What a Space is made with."""
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Files] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: Files, message: str = "by hand") -> str:
        """Make a commit of these files alone. Gives its id."""
        content = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        text = json.dumps([self.branches.get(branch), message, content], sort_keys=True)
        commit = hashlib.sha1(text.encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.branches[branch] = commit
        self.messages.append(message)
        return commit

    def find(self, revision: str) -> str | None:
        """The commit that a branch or commit id names."""
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None


@dataclass
class Hub:
    """All that the server knows, for tests to look at and to change."""

    address: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    stored: Files = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    failing: int = 0
    """A status to answer with; 0 answers as it should."""
    failing_requests: str = ".*"
    """A regular expression for what `failing` concerns, such as "POST /api/.*"."""
    breaking: bool = False
    """Whether every download of a file ends early."""
    tamper: Callable[[Files], Files] = dict
    """What becomes of the files of a commit."""

    def put(self, repo: str, files: Files, branch: str = "main") -> str:
        """Make a commit in a repository that is made if there is none. Gives its id."""
        return self.repositories.setdefault(repo, Repository()).commit(branch, files)

    def head(self, repo: str, branch: str = "main") -> Files:
        """The files at the tip of a branch."""
        repository = self.repositories[repo]
        return repository.commits[repository.branches[branch]]


class HubServer(ThreadingHTTPServer):
    """Serves one Hub on a free port of loopback."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub = Hub(f"http://127.0.0.1:{self.server_port}")


@contextmanager
def hub_server() -> Iterator[Hub]:
    """Run a Hub while the block lasts."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class RefusedError(Exception):
    """Ends a request with a status, and with the Hub's own name for what is wrong."""

    def __init__(self, status: int, code: str = "") -> None:
        super().__init__(status)
        self.status, self.code = status, code


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    cut = False
    """Whether the last byte of the answer is to be lost."""

    def handle_any(self) -> None:
        assert isinstance(self.server, HubServer)
        self.hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        request = f"{self.command} {path}"
        self.hub.requests.append(request)
        self.body = self.read_body()
        try:
            if self.hub.failing and re.fullmatch(self.hub.failing_requests, request):
                raise RefusedError(self.hub.failing)
            self.route(request)
        except RefusedError as refusal:
            self.answer(refusal.status, {"error": "refused"}, {"X-Error-Code": refusal.code})

    do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815

    def route(self, request: str) -> None:
        """Call the first method whose pattern the request is like."""
        for pattern, method in ROUTES:
            if match := re.fullmatch(pattern, request):
                return method(self, *match.groups())
        raise RefusedError(404)

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def answer(
        self, status: int, content: Any = None, headers: dict[str, str] | None = None
    ) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        given = {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}
        for name, value in given.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:-1] if self.cut else body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""

    @property
    def token(self) -> str | None:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or None

    def require_writer(self, owner: str) -> None:
        if self.token not in (TOKEN, READ_TOKEN):
            raise RefusedError(401)
        if self.token != TOKEN or owner != OWNER:
            raise RefusedError(403)

    def readable(self, repo: str) -> Repository:
        if self.token not in (None, TOKEN, READ_TOKEN):
            raise RefusedError(401)
        repository = self.hub.repositories.get(repo)
        if repository is None or (repository.private and self.token is None):
            raise RefusedError(404 if self.token else 401, "RepoNotFound")
        return repository

    def writable(self, repo: str) -> Repository:
        self.require_writer(repo.split("/")[-2])
        return self.readable(repo)

    def files(self, repo: str, revision: str) -> tuple[str, Files]:
        repository = self.readable(repo)
        commit = repository.find(revision)
        if commit is None:
            raise RefusedError(404, "RevisionNotFound")
        return commit, repository.commits[commit]

    def create(self) -> None:
        wanted = json.loads(self.body)
        self.require_writer(wanted["organization"])
        repo, sdk = f"{wanted['organization']}/{wanted['name']}", wanted.get("sdk")
        files = {".gitattributes": b"*.safetensors filter=lfs\n"}
        if wanted.get("type") == "space":
            if sdk is None:
                raise RefusedError(400)
            repo = f"spaces/{repo}"
            files["README.md"] = f"---\nsdk: {sdk}\n---\n".encode()
        exists = repo in self.hub.repositories
        if not exists:
            private = wanted.get("visibility") == "private" or wanted.get("private") is True
            self.hub.repositories[repo] = Repository(private, sdk)
            self.hub.put(repo, files)
        self.answer(409 if exists else 200, {"url": f"{self.hub.address}/{repo}"})

    def check_metadata(self) -> None:
        begins = json.loads(self.body)["content"].startswith("---\n")
        self.answer(200 if begins else 400, {"errors": [], "warnings": []})

    def info(self, repo: str, revision: str = "main") -> None:
        commit, files = self.files(repo, revision)
        siblings = [{"rfilename": name} for name in files]
        private = self.hub.repositories[repo].private
        name = repo.removeprefix("spaces/")
        self.answer(200, {"id": name, "sha": commit, "private": private, "siblings": siblings})

    def tree(self, repo: str, revision: str) -> None:
        _, files = self.files(repo, revision)
        self.answer(200, [describe(name, data) for name, data in files.items()])

    def create_branch(self, repo: str, branch: str) -> None:
        repository = self.writable(repo)
        exists = branch in repository.branches
        repository.branches.setdefault(branch, repository.branches["main"])
        self.answer(409 if exists else 200, {})

    def preupload(self, repo: str, revision: str) -> None:
        self.writable(repo)
        _, files = self.files(repo, revision)
        modes = []
        for wanted in json.loads(self.body)["files"]:
            name = wanted["path"]
            mode = {"path": name, "uploadMode": upload_mode(name), "shouldIgnore": False}
            if name in files:
                mode["oid"] = oid(name, files[name])
            modes.append(mode)
        self.answer(200, {"files": modes})

    def lfs_batch(self, repo: str) -> None:
        self.writable(repo)
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            upload = {"upload": {"href": f"{self.hub.address}/lfs/{wanted['oid']}"}}
            known = wanted["oid"] in self.hub.stored
            objects.append(wanted if known else {**wanted, "actions": upload})
        self.answer(200, {"transfer": "basic", "objects": objects})

    def lfs_store(self, sha256: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != sha256:
            raise RefusedError(400)
        self.hub.stored[sha256] = self.body
        self.answer(200, {})

    def commit(self, repo: str, branch: str) -> None:
        repository = self.writable(repo)
        _, files = self.files(repo, branch)
        files, message = dict(files), ""
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                head = repository.branches[branch]
                if value.get("parentCommit", head) != head:
                    raise RefusedError(412)
                message = value["summary"]
            elif item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
            else:
                raise RefusedError(400)
        commit = repository.commit(branch, self.hub.tamper(files), message)
        address = f"{self.hub.address}/{repo}/commit/{commit}"
        self.answer(200, {"commitUrl": address, "commitOid": commit})

    def resolve(self, repo: str, revision: str, name: str) -> None:
        commit, files = self.files(repo, revision)
        if name not in files:
            raise RefusedError(404, "EntryNotFound")
        self.cut = self.hub.breaking
        headers = {"ETag": f'"{oid(name, files[name])}"', "X-Repo-Commit": commit}
        self.answer(200, files[name], headers)


def upload_mode(name: str) -> str:
    return "lfs" if name.endswith((".safetensors", ".bin")) else "regular"


def oid(name: str, data: bytes) -> str:
    """What the Hub calls a file's content: git's hash, or for large files sha256."""
    if upload_mode(name) == "lfs":
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def describe(name: str, data: bytes) -> dict[str, Any]:
    """A file as the Hub lists it."""
    entry = {"type": "file", "path": name, "size": len(data), "oid": oid(name, data)}
    if upload_mode(name) == "lfs":
        entry["lfs"] = {"oid": oid(name, data), "size": len(data), "pointerSize": 130}
    return entry


REPO = r"((?:spaces/)?[^/]+/[^/]+)"
API = rf"/api/(?:models/|(?=spaces/)){REPO}"
ROUTES: list[tuple[str, Callable[..., None]]] = [
    (r"POST /api/repos/create", Handler.create),
    (r"POST /api/validate-yaml", Handler.check_metadata),
    (rf"GET {API}", Handler.info),
    (rf"GET {API}/revision/(.+)", Handler.info),
    (rf"GET {API}/tree/(.+)", Handler.tree),
    (rf"POST {API}/branch/(.+)", Handler.create_branch),
    (rf"POST {API}/preupload/(.+)", Handler.preupload),
    (rf"POST /{REPO}\.git/info/lfs/objects/batch", Handler.lfs_batch),
    (r"PUT /lfs/([0-9a-f]{64})", Handler.lfs_store),
    (rf"POST {API}/commit/(.+)", Handler.commit),
    (rf"(?:HEAD|GET) /{REPO}/resolve/([^/]+)/(.+)", Handler.resolve),
]
