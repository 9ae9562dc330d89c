"""Long tasks: whatever ends one, it starts again; stopping is bounded; the census tells the truth."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from gateway.core.errors import Halt, Refused, Unavailable
from gateway.edge.supervisor import Bounds, Supervisor, TaskState, TaskStatus

QUICK = Bounds(restart_first_s=0.01, restart_max_s=0.04, healthy_after_s=0.2, drain_s=0.3, cancel_s=0.3)


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    """A quick one, stopped at the end."""
    made = Supervisor(bounds=QUICK, spread=lambda: 1.0)
    yield made
    await made.stop()


async def forever() -> None:
    """A healthy long task."""
    await asyncio.Event().wait()


def of(supervisor: Supervisor, name: str) -> TaskStatus:
    """Its line of the census."""
    return next(status for status in supervisor.census() if status.name == name)


async def until_state(supervisor: Supervisor, name: str, state: TaskState, restarts: int = 0) -> TaskStatus:
    """Wait for it."""
    async with asyncio.timeout(5):
        while (status := of(supervisor, name)).state is not state or status.restarts < restarts:
            await asyncio.sleep(0.002)
    return status


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        (RuntimeError("a fault"), "RuntimeError: a fault"),
        (Unavailable("the broker is away"), "Unavailable: POLICY: the broker is away"),
        (asyncio.CancelledError(), "CancelledError: cancelled, though nobody asked it to stop"),
        (TimeoutError(), "TimeoutError"),
        (None, "it returned, though it should run for ever"),
    ],
)
async def test_whatever_ends_a_task_it_starts_again(
    supervisor: Supervisor, ending: BaseException | None, told: str
) -> None:
    """An error, a return and a CancelledError that nobody asked for (fact 4) are all crashes."""
    runs: list[int] = []

    async def work() -> None:
        runs.append(len(runs))
        if len(runs) <= 3:
            await asyncio.sleep(0)
            if ending is not None:
                raise ending
            return
        await forever()

    supervisor.add("lane", work)
    assert of(supervisor, "lane").state is TaskState.WAITING
    supervisor.start()
    status = await until_state(supervisor, "lane", TaskState.RUNNING, restarts=3)
    await asyncio.sleep(0.01)
    assert runs == [0, 1, 2, 3]
    assert status.last_error.startswith(told)
    assert status.last_crash is not None
    assert status.since >= status.last_crash
    assert supervisor.unready() == []


async def test_a_dying_connection_does_not_end_a_task(supervisor: Supervisor) -> None:
    """What aiormq does: the future that a task waits for is failed with CancelledError from outside."""
    waits: list[asyncio.Future[None]] = []

    async def work() -> None:
        waits.append(asyncio.get_running_loop().create_future())
        await waits[-1]

    supervisor.add("publisher", work)
    supervisor.start()
    await until_state(supervisor, "publisher", TaskState.RUNNING)
    while not waits:
        await asyncio.sleep(0)
    waits[0].set_exception(asyncio.CancelledError())
    await until_state(supervisor, "publisher", TaskState.RUNNING, restarts=1)
    while len(waits) < 2:
        await asyncio.sleep(0)


async def test_restarts_become_rarer_and_then_steady() -> None:
    """A crash loop waits twice as long each time up to its cap; a task that was well for a while starts anew quickly."""
    starts: list[float] = []
    loop = asyncio.get_running_loop()

    async def work() -> None:
        starts.append(loop.time())
        if len(starts) == 6:
            await asyncio.sleep(0.25)
        raise RuntimeError

    made = Supervisor(bounds=Bounds(restart_first_s=0.02, restart_max_s=0.16, healthy_after_s=0.2), spread=lambda: 1.0)
    made.add("lane", work)
    made.start()
    async with asyncio.timeout(10):
        while len(starts) < 7:
            await asyncio.sleep(0.002)
    await made.stop()
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert all(gap >= least for gap, least in zip(gaps, (0.02, 0.04, 0.08, 0.16, 0.16), strict=False))
    assert gaps[4] < 0.3  # capped
    assert gaps[5] - 0.25 < 0.14  # small again


async def test_halt_stays_down_until_a_person_resumes_it(supervisor: Supervisor) -> None:
    """P14: a broken invariant is not tried again by itself; the other tasks go on."""
    runs: list[int] = []

    async def work() -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            raise Halt("the books do not agree")
        await forever()

    supervisor.add("lane", work)
    supervisor.add("other", forever)
    supervisor.start()
    await until_state(supervisor, "lane", TaskState.HALTED)
    await asyncio.sleep(0.2)
    assert len(runs) == 1
    (reason,) = supervisor.unready()
    assert reason.startswith("lane is halted since ")
    assert "the books do not agree" in reason
    assert of(supervisor, "other").state is TaskState.RUNNING
    supervisor.resume("lane")
    await until_state(supervisor, "lane", TaskState.RUNNING, restarts=1)
    for name in ("lane", "nobody"):
        with pytest.raises(Refused):
            supervisor.resume(name)


async def test_a_crashed_task_can_be_started_without_waiting() -> None:
    """A person need not wait for the back-off."""
    patient = Supervisor(bounds=Bounds(restart_first_s=60, restart_max_s=60))
    runs: list[int] = []

    async def work() -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            raise RuntimeError
        await forever()

    patient.add("lane", work)
    patient.start()
    await until_state(patient, "lane", TaskState.CRASHED)
    patient.resume("lane")
    await until_state(patient, "lane", TaskState.RUNNING, restarts=1)
    assert await asyncio.wait_for(patient.stop(), 1) == []


async def test_stopping_lets_drainers_end_and_cancels_the_others(supervisor: Supervisor) -> None:
    """Who drains ends what is under way; who does not is cancelled at once and can tidy up; nothing starts again."""
    told: list[str] = []

    async def drainer() -> None:
        await supervisor.stopping.wait()
        await asyncio.sleep(0.05)
        told.append("drained")

    async def other() -> None:
        try:
            await forever()
        finally:
            told.append("cancelled")

    supervisor.add("drainer", drainer, drains=True)
    supervisor.add("other", other)
    supervisor.start()
    await until_state(supervisor, "drainer", TaskState.RUNNING)
    await asyncio.sleep(0)
    assert await supervisor.stop() == []
    assert told == ["cancelled", "drained"]
    assert {status.state for status in supervisor.census()} == {TaskState.STOPPED}
    assert {status.restarts for status in supervisor.census()} == {0}
    assert await supervisor.stop() == []


async def test_stopping_is_bounded(supervisor: Supervisor) -> None:
    """A drainer that does not end is cancelled; a task that swallows that is named and left behind."""
    release = asyncio.Event()
    ended = asyncio.Event()

    async def slow() -> None:
        await forever()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        ended.set()

    supervisor.add("slow", slow, drains=True)
    supervisor.add("stubborn", stubborn)
    supervisor.start()
    await asyncio.sleep(0.02)
    began = asyncio.get_running_loop().time()
    assert await supervisor.stop() == ["stubborn"]
    assert asyncio.get_running_loop().time() - began < QUICK.drain_s + QUICK.cancel_s + 0.2
    assert of(supervisor, "slow").state is TaskState.STOPPED
    assert of(supervisor, "stubborn").state is TaskState.STUCK
    release.set()
    await asyncio.wait_for(ended.wait(), 1)


async def test_stopping_in_the_middle_of_a_crash_loop(supervisor: Supervisor) -> None:
    """A task that waits for its restart does not start again once all stop."""
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)
        raise RuntimeError

    supervisor.add("lane", work)
    supervisor.start()
    await until_state(supervisor, "lane", TaskState.CRASHED, restarts=2)
    seen = len(runs)
    assert await supervisor.stop() == []
    await asyncio.sleep(0.1)
    assert len(runs) == seen
    supervisor.add("late", work)
    await asyncio.sleep(0.02)
    assert len(runs) == seen


async def test_running_until_cancelled() -> None:
    """`run` starts all, and stops all when it is cancelled or asked."""
    ended: list[str] = []

    async def work() -> None:
        try:
            await forever()
        finally:
            ended.append("work")

    for ask in ("cancel", "stop"):
        made = Supervisor(bounds=QUICK)
        made.add("work", work)
        running = asyncio.create_task(made.run())
        await asyncio.sleep(0.02)
        if ask == "cancel":
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        else:
            made.stopping.set()
            assert await running == []
    assert ended == ["work", "work"]


async def test_names_are_unique_and_late_comers_start_at_once(supervisor: Supervisor) -> None:
    """Two tasks of one name would hide each other; a lane that is added later runs."""
    supervisor.add("lane", forever)
    with pytest.raises(Refused):
        supervisor.add("lane", forever)
    supervisor.start()
    supervisor.add("late", forever)
    await until_state(supervisor, "late", TaskState.RUNNING)
    assert [status.name for status in supervisor.census()] == ["lane", "late"]
