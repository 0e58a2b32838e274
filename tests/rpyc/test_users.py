"""What users of the original ask for (spec/rpyc-users.md): the page answers each question, and tests show that the answer holds."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

import anycore

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "how-to" / "use-rpyc.md"

ANSWERS: dict[str, list[str]] = {
    "Clients of 5.x fail": [
        "conversations/test_rpyc.py::test_every_dialect_is_answered_in_kind",
        "interop/rpyc/test_rpyc.py::test_their_client_notices_nothing",
        "interop/rpyc/test_rpyc.py::test_our_client_with_their_server",
        "rpyc/test_aio.py::test_the_older_dialect",
    ],
    "Threads that share": [
        "objects/test_connection.py::test_many_threads_on_one_connection",
        "objects/test_connection.py::test_many_threads_with_callbacks",
        "cores/test_pump.py::test_a_reader_that_is_done_hands_the_reading_on_at_once",
        "interop/rpyc/test_rpyc.py::test_threads_on_one_connection_to_their_server",
    ],
    "A thread that waits": [
        "objects/test_connection.py::test_a_callback_that_waits_for_a_lock_of_another_caller_does_not_keep_that_one_from_its_answer",
        "objects/test_connection.py::test_fifty_calls_deep_in_both_directions",
    ],
    "Calls of one client": [
        "conversations/test_rpyc.py::test_requests_run_at_once_where_that_is_asked_for",
        "cores/test_pump.py::test_requests_that_come_one_by_one_run_at_the_same_time_where_they_may",
    ],
    "The limit of 30 seconds": [
        "rpyc/test_calling.py::test_the_time_limit_of_a_block",
        "objects/test_limits.py::test_the_innermost_block_of_a_connection_counts",
        "conversations/test_rpyc.py::test_a_cancelled_coroutine_ends",
        "conversations/test_rpyc.py::test_a_call_cancelled_before_its_turn_is_refused",
        "rpyc/test_helpers.py::test_a_peer_of_another_maker_sees_a_ping_and_no_cancellation",
        "rpyc/test_aio.py::test_a_call_has_a_time_limit_of_its_own",
    ],
    "asyncio": [
        "rpyc/test_aio.py::test_attributes_and_calls_are_awaited",
        "rpyc/test_aio.py::test_functions_and_coroutine_functions_are_called_back_on_the_loop",
        "rpyc/test_root.py::test_methods_are_attributes_of_their_plugins",
    ],
    "Each item of a result": [
        "rpyc/test_helpers.py::test_results_by_value",
        "rpyc/test_helpers.py::test_results_by_value_of_a_peer_of_another_maker",
        "rpyc/test_aio.py::test_values_are_copies",
        "rpyc/test_aio.py::test_async_for_reads_ahead",
    ],
    "Bulk data": [
        "wire/test_rpyc.py::test_large_messages_are_compressed_where_it_pays",
        "rpyc/test_defects.py::test_a_frame_is_one_write",
    ],
    "Small messages": ["rpyc/test_connecting.py::test_over_tcp", "testing/test_core.py::test_a_broken_core_fails"],
    "The server with a pool": [
        "compat/test_servers.py::test_the_pool_serves_more_connections_than_it_has_threads",
        "compat/test_servers.py::test_a_full_pool_queues",
    ],
    "Objects vanish": [
        "objects/test_connection.py::test_references_are_given_back",
        "objects/test_connection.py::test_what_is_echoed_is_not_dropped_before_the_answer_is_there",
        "objects/test_table.py::test_the_table_holds_what_a_peer_with_a_late_tongue_holds",
        "objects/test_table.py::test_numbers_are_never_used_again",
        "interop/rpyc/test_rpyc.py::test_their_table_is_left_empty",
    ],
    "Garbage collection": [
        "objects/test_connection.py::test_the_collector_in_the_middle_of_everything",
        "objects/test_table.py::test_a_finaliser_may_come_back_while_the_table_is_at_work",
    ],
    "Attacks": [
        "rpyc/test_defects.py::test_nothing_that_a_peer_sends_is_unpickled_unasked",
        "objects/test_policy.py::test_every_use_can_be_forbidden",
        "conversations/test_rpyc.py::test_hostile_bytes_end_the_connection_with_one_line_and_little_memory",
        "conversations/test_rpyc.py::test_fuzz_of_whole_conversations",
        "rpyc/test_root.py::test_no_dunder_leads_out",
    ],
    "No way to authenticate": [
        "rpyc/test_login.py::test_whoever_signs_in_is_known_from_then_on",
        "rpyc/test_connecting.py::test_the_client_shows_its_certificate",
    ],
    "Exceptions of one's own": [
        "objects/test_exceptions.py::test_custom_exceptions_are_generic_unless_that_is_allowed",
        "objects/test_exceptions.py::test_with_blocks_get_real_exceptions",
        "rpyc/test_root.py::test_faults_arrive_with_code_and_message",
    ],
    '"cannot access"': ["objects/test_policy.py::test_a_refusal_names_the_cure"],
    "`isinstance`": ["objects/test_connection.py::test_every_request", "compat/test_corpus.py::test_prints_the_same"],
    "Connections are lost": [
        "rpyc/test_aio.py::test_everybody_who_waits_learns_why_it_ended",
        "objects/test_connection.py::test_whoever_waits_is_told_of_the_end_and_its_reason",
        "rpyc/test_reconnecting.py::test_it_connects_again_and_repeats_nothing",
        "rpyc/test_reconnecting.py::test_a_peer_that_answers_no_ping_is_given_up_with_the_reason",
        "rpyc/test_aio.py::test_a_client_connects_again_and_repeats_nothing",
        "rpyc/test_aio.py::test_a_server_that_falls_silent_is_given_up",
        "server/test_silence.py::test_silent_peers_of_rpyc_listeners",
        "cores/test_silence.py::test_the_system_looks_after_those_who_connect",
    ],
    "`on_disconnect`": [
        "rpyc/test_endings.py::test_on_disconnect_is_called_once_where_the_connection_was_served",
        "rpyc/test_endings.py::test_on_disconnect_is_called_though_a_call_outlives_the_server",
        "compat/test_servers.py::test_closing_ends_every_connection",
        "compat/test_servers.py::test_a_forking_server_leaves_no_processes",
    ],
    "The registry gives": [
        "discovery/test_client.py::test_a_registration_is_of_the_interface_that_it_is_sent_from",
        "discovery/test_client.py::test_several_registries_are_asked_and_what_they_say_is_put_together",
        "discovery/test_client.py::test_registries_that_are_dead_keep_nobody_from_those_that_live",
        "discovery/test_server.py::test_silent_tcp_clients_block_nobody",
    ],
    "Types": ["rpyc/test_users.py::test_the_package_says_that_it_is_annotated"],
    "Examples of the documents": ["docs/test_samples.py::test_samples"],
    "Packages cannot be uploaded": [
        "rpyc/test_classic.py::test_a_package_and_a_module",
        "rpyc/test_teleport.py::test_what_cannot_go_is_refused",
    ],
    "Does a connection use one": ["objects/test_connection.py::test_fifty_calls_deep_in_both_directions"],
}


@functools.cache
def names_in(path: str) -> frozenset[str]:
    """Return the names of the functions of a file."""
    tree = ast.parse((TESTS / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def questions() -> list[str]:
    """Return the questions of the page, in their order."""
    _, _, table = PAGE.read_text().partition("## What users of RPyC ask for")
    return re.findall(r"^\| (?!question|---)(.+?) \|", table, re.MULTILINE)


def test_every_question_has_its_tests() -> None:
    asked = questions()
    assert len(asked) >= 20
    assert len(asked) == len(ANSWERS)
    for question, beginning in zip(asked, ANSWERS, strict=True):
        assert question.startswith(beginning)


@pytest.mark.parametrize("question", ANSWERS)
def test_the_tests_of_each_answer_are_there(question: str) -> None:
    for test in ANSWERS[question]:
        path, _, name = test.partition("::")
        assert name in names_in(path), f"{test} is not there"


def test_the_package_says_that_it_is_annotated() -> None:
    assert (Path(anycore.__file__).parent / "py.typed").is_file()
