"""Work: results, errors and log context come back from wherever it runs."""

from __future__ import annotations

import contextvars
import threading

import pytest

from gateway.core.ports import Work
from gateway.edge.work import InlineWork, ThreadWork

where: contextvars.ContextVar[str] = contextvars.ContextVar("where", default="nowhere")


@pytest.fixture(params=["threads", "inline"])
def work(request: pytest.FixtureRequest) -> Work:
    """Both kinds."""
    return ThreadWork(1) if request.param == "threads" else InlineWork()


async def test_it_returns_what_the_function_returns(work: Work) -> None:
    """Arguments go in, the result comes out."""
    assert await work.run(divmod, 7, 2) == (3, 1)
    assert await work.run(int, "11", base=2) == 3


async def test_it_raises_what_the_function_raises(work: Work) -> None:
    """An error is not swallowed on the way."""
    with pytest.raises(ZeroDivisionError):
        await work.run(divmod, 7, 0)


async def test_the_callers_context_goes_along(work: Work) -> None:
    """Log fields bound by the caller are there in the work."""
    token = where.set("here")
    try:
        assert await work.run(where.get) == "here"
    finally:
        where.reset(token)


async def test_threads_are_other_threads() -> None:
    """The event loop's thread stays free."""
    work = ThreadWork(1)
    assert await work.run(threading.current_thread) is not threading.current_thread()
    work.close()
