"""A server that answers as a judge would, or misbehaves."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-very-secret"


def ranking(best: int, turned: bool = False) -> str:
    """Return a ranking with the first or the second shown answer on top."""
    entries = [f"{{'model': 'model_{i}', 'rank': {1 if i == best else 2}}}" for i in (1, 2)]
    return f"[{', '.join(reversed(entries) if turned else entries)}]"


def chat(text) -> bytes:
    """Return the body of an OpenAI-compatible answer."""
    return json.dumps({"choices": [{"message": {"content": text}}]}).encode()


class Server:
    """Answers from a list of (status, headers, body), the last one for ever; keeps requests."""

    def __init__(self, replies):
        server, self.replies, self.requests = self, list(replies), []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.requests.append((self.path, dict(self.headers), json.loads(body)))
                reply = server.replies.pop(0) if len(server.replies) > 1 else server.replies[0]
                status, headers, data = reply(server.requests[-1][2]) if callable(reply) else reply
                if status is None:  # hang up in the middle of a sentence
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if server.drips:
                    threading.Event().wait(server.drips)
                try:
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.drips = 0.0
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self):
        self._http.shutdown()
        self._http.server_close()
