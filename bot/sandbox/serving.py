"""Running a sandbox alone (`daogou sandbox`, chaos tests): a threaded server on loopback."""

from __future__ import annotations

import logging
import threading

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from bot.sandbox.config import SandboxConfig
from bot.sandbox.server import Sandbox, create_sandbox
from bot.sandbox.town import Town


class _Quiet(WSGIRequestHandler):
    """Keeps connections open between calls, and says nothing per request."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Calls are kept in the town's own log; tokens of the query belong in no other."""


class RunningSandbox:
    """A sandbox that answers at `url` until `stop()`. `platform_url` is the API base URL."""

    def __init__(self, server: BaseWSGIServer, sandbox: Sandbox) -> None:
        self._server = server
        self._sandbox = sandbox
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.platform_url = f"{self.url}/platform"
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def town(self) -> Town:
        """The state behind it: people, ledger."""
        return self._sandbox.town

    def start(self) -> None:
        """Answer calls and deliver letters."""
        self._sandbox.postman.start()
        self._thread.start()

    def wait(self) -> None:
        """Until somebody stops it."""
        self._thread.join()

    def stop(self) -> None:
        """No more calls, no more letters; the file stays."""
        self._server.shutdown()
        self._thread.join(timeout=5)
        self._server.server_close()
        self._sandbox.postman.stop()
        self.town.close()


def serve(config: SandboxConfig, port: int = 0) -> RunningSandbox:
    """Start a sandbox on 127.0.0.1; port 0 takes a free one."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    app = create_sandbox(config)
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    running = RunningSandbox(server, app.extensions["sandbox"])
    running.start()
    return running
