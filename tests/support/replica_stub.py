"""A fake replica behind a proxy: it counts connections and requests, and can fail to answer.

with ReplicaStub() as stub:
    stub.dies = True        # reads each request completely, then closes without an answer
    stub.thinks = 3         # answers after three seconds
"""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class ReplicaStub:
    """An HTTP/1.1 server that says OK to everything; see the module for its use."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests: list[str] = []
        self.dies = False
        #: Requests for /held wait until this is set.
        self.lets_go = threading.Event()
        self.thinks = 0.0
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                stub.connections += 1

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                stub.requests.append(self.requestline)
                if self.path == "/held":
                    stub.lets_go.wait(30)
                time.sleep(stub.thinks)
                if stub.dies:
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"OK")

            do_GET = do_POST = do_PATCH = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
