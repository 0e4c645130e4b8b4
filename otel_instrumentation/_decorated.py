"""Functions of every kind wrapped as operations."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from otel_instrumentation import _guard
from otel_instrumentation.operation import Operation


def decorated(function: Any, operation: Operation) -> Any:
    """Returns the function wrapped so that each call is an operation like the given one."""
    if isinstance(function, staticmethod | classmethod):
        return type(function)(decorated(function.__func__, operation))
    if not callable(function) or isinstance(function, type):
        _guard.warn_once(
            "operation decorator", "Only functions can be operations; %r stays as it is", function
        )
        return function
    return functools.wraps(function)(_wrapper(function, operation))


def _wrapper(function: Callable[..., Any], operation: Operation) -> Callable[..., Any]:
    # Generators come first: asynchronous ones are no coroutine functions.
    if inspect.isasyncgenfunction(function):
        return _async_generator_wrapper(function, operation)
    if inspect.isgeneratorfunction(function):
        return _generator_wrapper(function, operation)
    if inspect.iscoroutinefunction(function):

        async def run_coroutine(*args: Any, **kwargs: Any) -> Any:
            with operation.for_call(args, kwargs):
                return await function(*args, **kwargs)

        return run_coroutine

    def run(*args: Any, **kwargs: Any) -> Any:
        with operation.for_call(args, kwargs):
            return function(*args, **kwargs)

    return run


def _generator_wrapper(function: Callable[..., Any], operation: Operation) -> Callable[..., Any]:
    """Wraps a generator: the span lasts from its first value to its end.

    Between two values the operation is out of the context, so that the consumer's own spans
    do not become its children.
    """

    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with operation.for_call(args, kwargs) as running:
            generator = function(*args, **kwargs)
            step, value = generator.send, None
            while True:
                try:
                    item = step(value)
                except StopIteration as stop:
                    return stop.value
                running.pause()
                try:
                    step, value = generator.send, (yield item)
                except BaseException as thrown:
                    step, value = generator.throw, thrown
                running.resume()

    return run


def _async_generator_wrapper(
    function: Callable[..., Any], operation: Operation
) -> Callable[..., Any]:
    """Wraps an asynchronous generator, like :func:`_generator_wrapper`."""

    async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with operation.for_call(args, kwargs) as running:
            generator = function(*args, **kwargs)
            step, value = generator.asend, None
            while True:
                try:
                    item = await step(value)
                except StopAsyncIteration:
                    return
                running.pause()
                try:
                    step, value = generator.asend, (yield item)
                except BaseException as thrown:
                    step, value = generator.athrow, thrown
                running.resume()

    return run
