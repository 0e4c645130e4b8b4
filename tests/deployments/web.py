"""A Flask and a FastAPI program that say whom a request is for, in one line each."""

from __future__ import annotations

import os

import otel_instrumentation as mlp
from otel_instrumentation.identity.asgi import IdentityMiddleware, header_of
from otel_instrumentation.identity.flask import identify_users

mlp.configure(stage="feature_engineering", component="store")

if os.environ.get("BEFORE_FORK"):
    with mlp.operation("loaded"):
        pass
    mlp.flush()


def flask_app():
    import flask

    app = flask.Flask(__name__)
    identify_users(app, session=lambda request: request.headers.get("X-Session"))

    @app.get("/work")
    def work() -> str:
        with mlp.operation("work"):
            return str(os.getpid())

    return app


def fastapi_app():
    from fastapi import FastAPI

    app = FastAPI()
    app.add_middleware(IdentityMiddleware, session=lambda scope: header_of(scope, "X-Session"))

    @app.get("/work")
    def work() -> int:
        with mlp.operation("work"):
            return os.getpid()

    return app
