"""Whom a request is for, taken from the web framework or gRPC server that knows it.

One line each for the platform's services::

    identify_users(app)                                   # .flask
    app.add_middleware(IdentityMiddleware)                # .asgi: FastAPI, Starlette, ...
    "otel_instrumentation.identity.django.IdentityMiddleware"   # in MIDDLEWARE
    grpc.server(pool, interceptors=[IdentityInterceptor()])     # .grpc

The user comes from the framework's own authentication, else from the headers that
authenticating proxies set (``semconv.IDENTITY_HEADERS``). Trust those headers only behind such a
proxy; ``user=`` takes a function of the request in their place. The server's span and everything
made while the request is handled carry the pseudonym and the session.
"""
