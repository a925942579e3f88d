"""What a node holds: a task that was lost and claimed once more is another one."""

from __future__ import annotations

from pexecutor.stores.valkey.lease import Holdings

NUMBER = 7


def test_a_late_answer_about_a_lost_task_leaves_it_alone_when_it_is_claimed_once_more() -> None:
    holdings = Holdings()
    holdings.tokens[NUMBER] = 1
    holdings.settling.add((NUMBER, 1))
    holdings.tokens[NUMBER] = 2

    assert holdings.as_arguments() == [[(NUMBER, 2)], [(NUMBER, 1)], 0]
    holdings.settled([(NUMBER, 1)])
    assert holdings.as_arguments() == [[(NUMBER, 2)], [], 0]


def test_a_task_that_is_being_settled_is_not_lost() -> None:
    holdings = Holdings()
    holdings.tokens[NUMBER] = 1
    holdings.settling.add((NUMBER, 1))

    assert not holdings.lose(NUMBER)
    holdings.settled([(NUMBER, 1)])
    assert not holdings.lose(NUMBER)
