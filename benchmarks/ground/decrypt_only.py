"""The yardstick of the callback door (只解密的路由): same server, same crypto, nothing kept.

`python -m ground.decrypt_only PORT`, with the settings under which `daogou web` runs granian.
"""

from __future__ import annotations

import sys

from flask import Flask, Response, request
from granian import Granian
from granian.constants import Interfaces

from bot.wecom import callback
from ground.installation import KEYS


def create_app() -> Flask:
    """One route that verifies and decrypts."""
    app = Flask(__name__, static_folder=None)

    @app.post("/wecom/callback")
    def receive() -> Response:
        callback.open_sealed(KEYS, request.args.to_dict(), request.get_data())
        return Response(status=200)

    @app.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", mimetype="text/plain")

    return app


def main() -> None:
    """Serve until told to stop."""
    Granian(
        "ground.decrypt_only:create_app",
        factory=True,
        address="127.0.0.1",
        port=int(sys.argv[1]),
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=16,
        log_access=False,
    ).serve()


if __name__ == "__main__":
    main()
