"""Users of requests, taken from the real frameworks and a real gRPC server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry import trace

import otel_instrumentation as mlp
from otel_instrumentation import privacy
from otel_instrumentation.identity import asgi
from otel_instrumentation.identity.flask import identify_users
from otel_instrumentation.identity.grpc import IdentityInterceptor
from otel_instrumentation.testing import TEST_SALT, capture

ANN = privacy.pseudonym("ann", TEST_SALT)
BOB = privacy.pseudonym("bob", TEST_SALT)


def serve_span(name="server"):
    return trace.get_tracer("a web server").start_as_current_span(name)


def who(telemetry, *names):
    found = {span.name: span.attributes for span in telemetry.spans}
    return [(found[name].get("user.hash"), found[name].get("session.id")) for name in names]


# --- Flask -------------------------------------------------------------------------------------


@pytest.fixture
def flask_app():
    from flask import Flask

    app = Flask(__name__)

    @app.get("/work")
    def work():
        with mlp.operation("work"):
            return "done"

    @app.get("/fail")
    def fail():
        raise LookupError

    return app


def test_flask_takes_the_proxys_user_and_forgets_it_after_the_request(flask_app):
    identify_users(flask_app, session=lambda request: request.cookies.get("tab"))
    client = flask_app.test_client()
    client.set_cookie("tab", "s1")
    with capture() as telemetry:
        with serve_span("first"):
            assert client.get("/work", headers={"X-Forwarded-User": "ann"}).data == b"done"
        with serve_span("second"):
            client.delete_cookie("tab")
            client.get("/fail")
        with mlp.operation("after"):
            pass
    assert who(telemetry, "first", "work") == [(ANN, "s1")] * 2
    assert who(telemetry, "second", "after") == [(None, None)] * 2


def test_flask_asks_the_platform_whom_a_request_is_for(flask_app):
    identify_users(flask_app, user=lambda request: request.args["as"])
    with capture() as telemetry, serve_span():
        flask_app.test_client().get("/work?as=bob", headers={"X-Forwarded-User": "ann"})
    assert who(telemetry, "server", "work") == [(BOB, None)] * 2


def test_a_finder_that_fails_does_not_reach_the_host(flask_app, caplog):
    identify_users(flask_app, user=lambda request: 1 / 0)
    with capture(swallow_errors=True) as telemetry, serve_span():
        assert flask_app.test_client().get("/work").data == b"done"
    assert who(telemetry, "work") == [(None, None)]
    assert "ZeroDivisionError" in caplog.text


# --- ASGI --------------------------------------------------------------------------------------


def asked(app, path="/work", headers=()):
    """Ask an ASGI application as a server does; return status and body."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": b"", "headers": list(headers), "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    body = b"".join(each.get("body", b"") for each in sent)
    return sent[0]["status"], body


def test_fastapi_takes_the_proxys_user_in_all_kinds_of_endpoints():
    from fastapi import FastAPI

    app = FastAPI()
    app.add_middleware(
        asgi.IdentityMiddleware, session=lambda scope: asgi.header_of(scope, "X-Tab")
    )

    @app.get("/work")
    async def work():
        with mlp.operation("asynchronous"):
            return "done"

    @app.get("/plain")
    def plain():
        with mlp.operation("threaded"):
            return "done"

    headers = [(b"x-forwarded-user", b"ann"), (b"x-tab", b"s1")]
    with capture() as telemetry:
        assert asked(app, headers=headers) == (200, b'"done"')
        assert asked(app, "/plain", headers) == (200, b'"done"')
        with mlp.operation("after"):
            pass
    # FastAPI makes its server's spans itself.
    assert (
        who(telemetry, "GET /work", "asynchronous", "GET /plain", "threaded") == [(ANN, "s1")] * 4
    )
    assert who(telemetry, "after") == [(None, None)]


def test_starlette_takes_the_user_it_authenticated():
    from starlette.applications import Starlette
    from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
    from starlette.middleware import Middleware
    from starlette.middleware.authentication import AuthenticationMiddleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    class Backend(AuthenticationBackend):
        async def authenticate(self, conn):
            return AuthCredentials(["authenticated"]), SimpleUser("bob")

    async def work(request):
        with mlp.operation("work"):
            return PlainTextResponse("done")

    app = Starlette(
        routes=[Route("/work", work)],
        middleware=[
            Middleware(AuthenticationMiddleware, backend=Backend()),
            Middleware(asgi.IdentityMiddleware),
        ],
    )
    with capture() as telemetry, serve_span():
        assert asked(app, headers=[(b"x-forwarded-user", b"ann")]) == (200, b"done")
    assert who(telemetry, "server", "work") == [(BOB, None)] * 2


# --- Django ------------------------------------------------------------------------------------

DJANGO = """
    import asyncio, sys
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY="x" * 50, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], USE_TZ=True,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "file:d?mode=memory&cache=shared",
                               "OPTIONS": {"uri": True}}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                    "django.contrib.auth.middleware.AuthenticationMiddleware",
                    "otel_instrumentation.identity.django.IdentityMiddleware"],
    )
    django.setup()
    from django.core.management import call_command
    from django.http import HttpResponse
    from django.test import AsyncClient, Client
    from django.urls import path
    from opentelemetry import trace
    import otel_instrumentation as mlp
    from otel_instrumentation.testing import capture, TEST_SALT

    def work(request):
        with mlp.operation("work"):
            return HttpResponse("done")

    async def awork(request):
        with mlp.operation("awork"):
            return HttpResponse("done")

    urlpatterns = [path("work", work), path("awork", awork)]
    call_command("migrate", verbosity=0)
    from django.contrib.auth.models import User
    user = User.objects.create_user("ann")

    with capture() as telemetry:
        client = Client()
        with trace.get_tracer("server").start_as_current_span("server"):
            page = client.get("/work", headers={"X-Forwarded-User": "bob"})
            assert "Vary" not in page.headers, page.headers
        client.force_login(user)
        with trace.get_tracer("server").start_as_current_span("signed in"):
            client.get("/work")

        async def ask():
            web = AsyncClient()
            await web.aforce_login(user)
            with trace.get_tracer("server").start_as_current_span("asynchronous"):
                return await web.get("/awork")

        assert asyncio.run(ask()).content == b"done"

    ann, bob = (mlp.pseudonym(name, TEST_SALT) for name in ("ann", "bob"))
    works = [span.attributes for span in telemetry.spans if span.name == "work"]
    assert [each["user.hash"] for each in works] == [bob, ann], works
    assert telemetry.span("server").attributes["user.hash"] == bob
    assert telemetry.span("awork").attributes["user.hash"] == ann
    assert telemetry.span("asynchronous").attributes["user.hash"] == ann
    key = client.session.session_key
    session = telemetry.span("signed in").attributes["session.id"]
    assert session == works[1]["session.id"] == mlp.digest(key, TEST_SALT) != key
    assert "session.id" not in works[0]
    print("done")
"""


def test_django_takes_the_user_it_authenticated_and_hides_the_sessions_key():
    # A process of its own: Django's settings are for good.
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(DJANGO)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr


# --- gRPC --------------------------------------------------------------------------------------


class Echo(grpc.GenericRpcHandler):
    """Answers each kind of call with its request's bytes, each in an operation."""

    def service(self, details):
        def one(request, context):
            with mlp.operation("one"):
                return request

        def many(request, context):
            for _ in range(2):
                with mlp.operation("many"):
                    pass
                yield request

        def joined(requests, context):
            with mlp.operation("joined"):
                return b"".join(requests)

        return {
            "/echo/one": grpc.unary_unary_rpc_method_handler(one),
            "/echo/many": grpc.unary_stream_rpc_method_handler(many),
            "/echo/joined": grpc.stream_unary_rpc_method_handler(joined),
        }.get(details.method)


def test_grpc_takes_the_user_from_the_metadata_of_every_kind_of_call():
    with ThreadPoolExecutor(2) as workers, capture() as telemetry:
        server = grpc.server(
            workers,
            [Echo()],
            interceptors=[IdentityInterceptor(session=lambda metadata: metadata.get("tab"))],
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        said = (("x-forwarded-user", "ann"), ("tab", "s1"))
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert channel.unary_unary("/echo/one")(b"a", metadata=said) == b"a"
            assert list(channel.unary_stream("/echo/many")(b"a", metadata=said)) == [b"a", b"a"]
            assert channel.stream_unary("/echo/joined")(iter([b"a", b"b"]), metadata=said) == b"ab"
            with pytest.raises(grpc.RpcError) as missing:
                channel.unary_unary("/echo/none")(b"a", metadata=said)
            assert missing.value.code() is grpc.StatusCode.UNIMPLEMENTED
            before = len(telemetry.spans)
            assert channel.unary_unary("/echo/one")(b"a") == b"a"
        server.stop(None).wait()
    attributes = [
        (s.name, s.attributes.get("user.hash"), s.attributes.get("session.id"))
        for s in telemetry.spans
    ]
    assert attributes[:before] == [
        ("one", ANN, "s1"), ("many", ANN, "s1"), ("many", ANN, "s1"), ("joined", ANN, "s1"),
    ]  # fmt: skip
    assert attributes[before:] == [("one", None, None)]
