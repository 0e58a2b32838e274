"""As many files may be open as there may be connections."""

from __future__ import annotations

import logging
import resource

import pytest

from anycore.server.process.descriptors import allow_descriptors


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limits of a process that is not this one; the last is in force."""
    found = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: found[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: found.append(new))
    return found


def test_the_soft_limit_is_raised_as_far_as_it_is_needed(limits: list[tuple[int, int]]) -> None:
    allow_descriptors(500)
    assert limits == [(1024, 4096)]
    allow_descriptors(2000)
    assert limits[-1] == (2256, 4096)


def test_a_hard_limit_that_is_too_low_is_told_with_the_cure(
    limits: list[tuple[int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        allow_descriptors(10_000)
    assert limits[-1] == (4096, 4096)
    assert "too few for the 10000 connections" in caplog.text
    assert "lower the setting to 3840" in caplog.text


def test_no_limit_needs_nothing(monkeypatch: pytest.MonkeyPatch, limits: list[tuple[int, int]]) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    allow_descriptors(10_000)
    assert len(limits) == 1
