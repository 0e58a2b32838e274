"""Checks of `check_core`: jobs run where their modes say, each once, and whatever they do, the core goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anycore.testing.served import Bench, expect, many, quietly

if TYPE_CHECKING:
    from anycore.testing.served import Caller, Served

_MODES: Final = ("quick", "blocking", "async")


def runs_async_jobs_on_a_loop(bench: Bench) -> None:
    """Asynchronous jobs run on an event loop, blocking ones never do."""
    with bench.talking() as (served, caller):
        caller.ask("async a", "blocking b")
        asynchronous, blocking = served.journal.jobs
        expect(asynchronous.on_loop is True, "a job of mode async must be run by run_async, on a running loop")
        expect(blocking.on_loop is False, "a job of mode blocking must not run in a thread that has a running loop")


def runs_and_finishes_each_job_once(bench: Bench) -> None:
    """Each job is run once and given back once."""
    with bench.talking() as (served, caller):
        caller.ask(*(f"{mode} {number}" for number in range(50) for mode in ("say", "blocking", "async")))
        counts = {(job.mode.value, job.runs, job.finishes) for job in served.journal.jobs}
        wanted = {(mode, 1, 1) for mode in _MODES}
        expect(counts == wanted, f"(mode, runs, finishes) must be 1 and 1 for every job, and were {sorted(counts)}")


def runs_follow_up_jobs(bench: Bench) -> None:
    """Jobs that `finish` hands out are run and given back in turn, whatever their modes."""
    with bench.talking() as (served, caller):
        chains = [f"{a},{b},{c}" for a in _MODES for b in _MODES for c in _MODES]
        expect(caller.ask(*(f"chain {chain}" for chain in chains)) == chains, "each chain is answered at its end")
        expect(len(served.journal.jobs) == 3 * len(chains), "each link of a chain must be run")
        expect({(job.runs, job.finishes) for job in served.journal.jobs} == {(1, 1)}, "each link must be run once")


def lets_blocking_jobs_hold_up_nobody(bench: Bench) -> None:
    """While a blocking job waits, other connections are answered, in all modes."""
    _held_up_by(bench, "blocking")


def lets_async_jobs_hold_up_nobody(bench: Bench) -> None:
    """While an asynchronous job waits, other connections are answered, in all modes."""
    _held_up_by(bench, "async")


def _held_up_by(bench: Bench, mode: str) -> None:
    with bench.serving() as served, many(served, 4) as callers:
        first, *others = callers
        first.send(f"gate {mode} go")
        expect(served.journal.entered("go").wait(bench.patience), "the job must run")
        for caller in others:
            expect(caller.ask("say q", "blocking b", "async a") == ["q", "b", "a"], "others must be answered meanwhile")
        served.journal.open_gate("go")
        expect(first.line() == "go", "the job must be answered when it is done")


def runs_async_jobs_side_by_side(bench: Bench) -> None:
    """Asynchronous jobs of many connections wait at the same time, more of them than there are worker threads."""
    with bench.serving(workers=2) as served, many(served, 20) as callers:
        for number, caller in enumerate(callers):
            caller.send(f"gate async {number}")
        for number in range(20):
            expect(served.journal.entered(str(number)).wait(bench.patience), "each must run without the others' end")
        served.journal.open_all()
        expect([caller.line() for caller in callers] == [str(number) for number in range(20)], "each is answered")


def queues_blocking_jobs_beyond_its_workers(bench: Bench) -> None:
    """More blocking jobs than worker threads are all run in the end."""
    with bench.serving(workers=2) as served, many(served, 8) as callers:
        for number, caller in enumerate(callers):
            caller.send(f"gate blocking {number}")
            # Those that come at the same time may be taken in any order.
            expect(number or served.journal.entered("0").wait(bench.patience), "the first job must run")
        for number in range(len(callers)):
            served.journal.open_gate(str(number))
        for number, caller in enumerate(callers):
            expect(caller.line() == str(number), "each job must have its turn")


def survives_failing_jobs(bench: Bench) -> None:
    """A job that raises costs its peer the answer or the connection at most; the core serves on and forgets the job."""
    with bench.serving() as served:
        for verb in ("fail quick", "fail blocking", "fail async", "fail async cancelled"):
            with served.connect() as caller:
                caller.send(verb)
                _answered_or_closed(caller, verb)
            with served.connect() as caller:
                expect(caller.ask("say s", "blocking b", "async a") == ["s", "b", "a"], f"after {verb!r}: serve on")
        served.until(
            lambda: not served.core.figures().in_flight, "jobs that raised must not count as in flight for ever"
        )
        served.forgets()


def _answered_or_closed(caller: Caller, verb: str) -> None:
    try:
        caller.line()
    except TimeoutError:
        raise AssertionError(f"after {verb!r} the peer must get an answer, or the connection must end") from None
    except OSError:
        pass  # a reset is an end, too


def survives_peers_that_leave(bench: Bench) -> None:
    """A peer that goes while its jobs run, politely or not, costs nothing but their answers."""
    with bench.serving() as served:
        for mode in ("blocking", "async"):
            for way in ("close", "vanish"):
                _leave(served, f"{mode}-{way}", mode, way)
        with served.connect() as caller:
            expect(caller.ask("blocking b", "async a") == ["b", "a"], "the core must serve on")
        served.until(lambda: not served.core.figures().in_flight, "jobs whose peers have gone must be forgotten")
        served.forgets()
        expect(all(job.finishes == 1 for job in served.journal.jobs if job.verb == "gate"), "each is given back once")


def _leave(served: Served, name: str, mode: str, way: str) -> None:
    caller = served.connect()
    caller.send(f"gate {mode} {name}", "say more")
    expect(served.journal.entered(name).wait(served.patience), "the job must run")
    quietly(getattr(caller, way))
    served.journal.open_gate(name)


CHECKS: Final = (
    runs_async_jobs_on_a_loop,
    runs_and_finishes_each_job_once,
    runs_follow_up_jobs,
    lets_blocking_jobs_hold_up_nobody,
    lets_async_jobs_hold_up_nobody,
    runs_async_jobs_side_by_side,
    queues_blocking_jobs_beyond_its_workers,
    survives_failing_jobs,
    survives_peers_that_leave,
)
