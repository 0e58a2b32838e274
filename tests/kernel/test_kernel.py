from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import sys
import threading
import time
from typing import Any

import pytest

from anycore.kernel.call import ANONYMOUS, Call, Mode, Outcome, Peer, current_call
from anycore.kernel.kernel import AsyncMethodError, Kernel
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.registry import verify
from anycore.wire.faults import (
    ACCESS_DENIED,
    APPLICATION_ERROR,
    DEADLINE_EXCEEDED,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Fault,
)


class OwnFault(Fault):
    def __init__(self) -> None:
        Exception.__init__(self, "no code, no message")


class MuteError(Exception):
    def __str__(self) -> str:
        raise RecursionError


class Kit(Plugin):
    """Methods that do all there is to do."""

    name = "kit"

    @exposed(quick=True)
    def add(self, a: int, b: int = 1) -> int:
        return a + b

    @exposed
    def who(self, call: Call, mark: str = "") -> tuple[bool, str]:
        return call is current_call(), mark

    @exposed
    def fail(self) -> None:
        message = "the heater is off"
        raise ValueError(message)

    @exposed
    def fault(self) -> None:
        raise Fault(17, "own", {"more": 1})

    @exposed
    def bad_fault(self) -> None:
        raise OwnFault

    @exposed
    def odd_fault(self) -> None:
        wrong: Any = "seventeen"
        raise Fault(wrong, wrong)

    @exposed
    def mute(self) -> None:
        raise MuteError

    @exposed
    def leave(self) -> None:
        sys.exit(3)

    @exposed
    def recurse(self) -> None:
        self.recurse()

    @exposed
    def interrupt(self) -> None:
        raise KeyboardInterrupt

    @exposed
    def cancel(self) -> None:
        raise asyncio.CancelledError

    @exposed
    def late(self) -> None:
        message = "the sensor did not answer"
        raise TimeoutError(message)

    @exposed
    async def wait(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return current_call().name

    @exposed
    async def wait_for_cancelled(self) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    @exposed
    async def late_async(self) -> None:
        message = "the sensor did not answer"
        raise TimeoutError(message)


@pytest.fixture
def kernel() -> Kernel:
    kernel = Kernel()
    kernel.registry.commit([verify(Kit(), "test")])
    return kernel


def fault_of(outcome: Outcome) -> Fault:
    assert outcome.fault is not None
    return outcome.fault


def counts(kernel: Kernel, name: str) -> tuple[int, int, int]:
    summary = kernel.registry.methods[name].statistics.summary()
    return summary.count, summary.errors, summary.running


def test_a_call_goes_through_all_steps(kernel: Kernel) -> None:
    call = Call("kit.add", [1], {"b": 2})

    assert kernel.handle(call).unwrap() == 3
    assert call.identity is ANONYMOUS
    assert call.method is kernel.registry.methods["kit.add"]
    assert counts(kernel, "kit.add") == (1, 0, 0)


def test_a_kernel_makes_a_registry_of_its_own() -> None:
    assert fault_of(Kernel().handle(Call("kit.add"))).code == METHOD_NOT_FOUND


def test_the_mode_of_what_will_fail_is_quick(kernel: Kernel) -> None:
    assert kernel.mode(Call("kit.add")) is Mode.QUICK
    assert kernel.mode(Call("kit.fail")) is Mode.BLOCKING
    assert kernel.mode(Call("kit.wait")) is Mode.ASYNC
    assert kernel.mode(Call("kit.missing")) is Mode.QUICK


@pytest.mark.parametrize(
    ("call", "code", "counted"),
    [
        (Call("kit.add", [1], peer=Peer("tcp", "192.0.2.1", local=False)), ACCESS_DENIED, 0),
        (Call("kit.missing"), METHOD_NOT_FOUND, 0),
        (Call("kit.add", ["x"]), INVALID_PARAMS, 1),
        (Call("kit.add", [1], deadline=0.0), DEADLINE_EXCEEDED, 1),
    ],
)
def test_each_step_can_end_a_call(kernel: Kernel, call: Call, code: int, counted: int) -> None:
    assert fault_of(kernel.handle(call)).code == code
    assert counts(kernel, "kit.add") == (counted, counted, 0)


def test_a_method_knows_its_call(kernel: Kernel) -> None:
    assert kernel.handle(Call("kit.who")).unwrap() == (True, "")
    assert kernel.handle(Call("kit.who", ["x"])).unwrap() == (True, "x")
    with pytest.raises(LookupError):
        current_call()


def test_an_exception_becomes_a_fault_and_is_logged_with_its_place(
    kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    call = Call("kit.fail")
    fault = fault_of(kernel.handle(call))

    assert (fault.code, fault.message) == (APPLICATION_ERROR, "kit.fail: ValueError: the heater is off")
    assert fault.data is None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == f"call {call.id}: kit.fail from memory failed"
    assert "raise ValueError(message)" in caplog.text
    assert counts(kernel, "kit.fail") == (1, 1, 0)


def test_tracebacks_go_to_the_caller_in_debug_mode_only(kernel: Kernel) -> None:
    kernel.debug = True
    fault = fault_of(kernel.handle(Call("kit.fail")))

    assert fault.message.startswith("kit.fail: ValueError: the heater is off\nTraceback (most recent call last):")
    assert "raise ValueError(message)" in fault.data
    kernel.debug = False
    assert "Traceback" not in str(fault_of(kernel.handle(Call("kit.fail"))))


def test_a_fault_goes_to_the_caller_as_it_is(kernel: Kernel, caplog: pytest.LogCaptureFixture) -> None:
    fault = fault_of(kernel.handle(Call("kit.fault")))

    assert (fault.code, fault.message, fault.data) == (17, "own", {"more": 1})
    assert caplog.records == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bad_fault", "kit.bad_fault: OwnFault, whose text cannot be had"),
        ("odd_fault", "kit.odd_fault: Fault: seventeen (fault seventeen)"),
        ("mute", "kit.mute: MuteError, whose text cannot be had"),
        ("leave", "kit.leave: SystemExit: 3"),
        ("recurse", "kit.recurse: RecursionError: maximum recursion depth exceeded"),
        ("cancel", "kit.cancel: CancelledError: "),
        ("late", "kit.late: TimeoutError: the sensor did not answer"),
    ],
)
@pytest.mark.parametrize("loop", [False, True])
def test_whatever_a_method_raises_becomes_a_fault(kernel: Kernel, name: str, message: str, loop: bool) -> None:
    call = Call(f"kit.{name}")
    fault = fault_of(asyncio.run(kernel.handle_async(call)) if loop else kernel.handle(call))

    assert fault.code == APPLICATION_ERROR
    assert fault.message.startswith(message)
    assert counts(kernel, call.name) == (1, 1, 0)


def test_an_interrupt_in_the_main_thread_is_for_the_process(kernel: Kernel) -> None:
    with pytest.raises(KeyboardInterrupt):
        kernel.handle(Call("kit.interrupt"))
    assert counts(kernel, "kit.interrupt") == (1, 1, 0)


def test_an_interrupt_in_another_thread_was_raised_by_the_method(kernel: Kernel) -> None:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        fault = fault_of(pool.submit(kernel.handle, Call("kit.interrupt")).result())

    assert fault.message == "kit.interrupt: KeyboardInterrupt: "


async def test_methods_of_every_mode_run_on_a_loop(kernel: Kernel) -> None:
    assert (await kernel.handle_async(Call("kit.add", [1, 2]))).unwrap() == 3
    assert (await kernel.handle_async(Call("kit.wait", [0]))).unwrap() == "kit.wait"
    with pytest.raises(LookupError):
        current_call()


async def test_calls_on_one_loop_do_not_mix(kernel: Kernel) -> None:
    calls = [Call("kit.wait", [0.0]) for _ in range(20)]
    outcomes = await asyncio.gather(*(kernel.handle_async(call) for call in calls))

    assert [outcome.unwrap() for outcome in outcomes] == ["kit.wait"] * 20
    assert counts(kernel, "kit.wait") == (20, 0, 0)


async def test_a_call_that_takes_too_long_is_ended_at_its_deadline(kernel: Kernel) -> None:
    fault = fault_of(await kernel.handle_async(Call("kit.wait", [30], deadline=time.monotonic() + 0.01)))

    assert fault.code == DEADLINE_EXCEEDED
    assert fault.message.startswith("kit.wait: the call did not finish within its deadline; ask for more time")
    assert counts(kernel, "kit.wait") == (1, 1, 0)


async def test_a_time_out_of_the_method_itself_is_no_deadline(kernel: Kernel) -> None:
    call = Call("kit.late_async", deadline=time.monotonic() + 100)

    assert (
        fault_of(await kernel.handle_async(call)).message == "kit.late_async: TimeoutError: the sensor did not answer"
    )


async def test_what_is_overdue_is_not_begun(kernel: Kernel) -> None:
    call = Call("kit.wait", [0], deadline=time.monotonic())

    assert "deadline passed" in fault_of(await kernel.handle_async(call)).message


async def test_a_cancelled_task_ends_and_its_call_is_counted(kernel: Kernel) -> None:
    task = asyncio.create_task(kernel.handle_async(Call("kit.wait", [30])))
    await asyncio.sleep(0)
    assert counts(kernel, "kit.wait") == (0, 0, 1)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counts(kernel, "kit.wait") == (1, 1, 0)


async def test_a_cancelled_future_that_a_method_waits_for_is_its_own_affair(kernel: Kernel) -> None:
    fault = fault_of(await kernel.handle_async(Call("kit.wait_for_cancelled")))

    assert fault.message == "kit.wait_for_cancelled: CancelledError: "


def test_an_abandoned_coroutine_leaves_no_call_running(kernel: Kernel) -> None:
    coroutine = kernel.handle_async(Call("kit.wait", [30]))

    async def begin() -> None:
        coroutine.send(None)

    asyncio.run(begin())
    coroutine.close()
    assert counts(kernel, "kit.wait") == (1, 1, 0)


def test_an_async_method_needs_a_loop_and_nothing_is_counted(kernel: Kernel) -> None:
    with pytest.raises(AsyncMethodError):
        kernel.handle(Call("kit.wait", [0]))
    assert counts(kernel, "kit.wait") == (0, 0, 0)


def test_no_call_fails_or_goes_to_a_plugin_that_is_swapped_out(kernel: Kernel) -> None:
    """A plugin that was replaced and has no call running is never called again: it can be stopped at once."""

    class Stoppable(Plugin):
        name = "stoppable"

        def __init__(self) -> None:
            self.stopped = False

        @exposed
        def ask(self) -> bool:
            return self.stopped

    entry = verify(Stoppable(), "test")
    kernel.registry.commit([entry])
    answers: list[Any] = []
    end = threading.Event()

    def ask() -> None:
        while not end.is_set():
            answers.append(kernel.handle(Call("stoppable.ask")).unwrap())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for _ in range(200):
            new = verify(Stoppable(), "test")
            kernel.registry.commit([new], without=["stoppable"])
            while entry.running:
                pass
            entry.plugin.stopped = True  # type: ignore[attr-defined]
            entry = new
    finally:
        end.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)

    assert answers
    assert not any(answers)
    assert kernel.registry.methods["stoppable.ask"].statistics.running == 0
