"""What becomes due when, in memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from simulation.profile import examples

from mageflow_core.machine import Timer
from mageflow_core.stores.memory.agenda import Agenda

A: Timer = ("due", "/a")
B: Timer = ("due", "/b")


def test_entries_come_in_the_order_of_their_times_and_equals_as_they_were_set() -> None:
    # Given
    agenda = Agenda()
    agenda.set(("r", A), 3.0)
    agenda.set(("r", B), 1.0)
    agenda.set(("s", A), 1.0)
    # When
    taken = agenda.take(2.0, 10)
    # Then
    assert taken == [("r", B), ("s", A)]
    assert agenda.next_time() == 3.0
    assert len(agenda) == 1


def test_an_entry_that_is_set_again_moves() -> None:
    # Given
    agenda = Agenda()
    agenda.set(("r", A), 1.0)
    # When
    agenda.set(("r", A), 5.0)
    # Then
    assert agenda.take(4.0, 10) == []
    assert agenda.take(5.0, 10) == [("r", A)]
    assert len(agenda) == 0


def test_a_removed_entry_never_comes_and_removing_twice_is_no_error() -> None:
    # Given
    agenda = Agenda()
    agenda.set(("r", A), 1.0)
    # When
    agenda.set(("r", A), None)
    agenda.set(("r", A), None)
    # Then
    assert not agenda.has(("r", A))
    assert agenda.next_time() is None
    assert agenda.take(9.0, 10) == []


def test_no_more_are_taken_than_asked_for_and_the_rest_stays() -> None:
    # Given
    agenda = Agenda()
    for i in range(5):
        agenda.set((f"r{i}", A), float(i))
    # When
    first = agenda.take(9.0, 3)
    # Then
    assert [run for run, _ in first] == ["r0", "r1", "r2"]
    assert [run for run, _ in agenda.take(9.0, 3)] == ["r3", "r4"]


def test_a_run_is_forgotten_with_all_its_entries_and_no_others() -> None:
    # Given
    agenda = Agenda()
    agenda.set(("r", A), 1.0)
    agenda.set(("r", B), 2.0)
    agenda.set(("s", A), 3.0)
    # When
    agenda.forget("r")
    agenda.forget("nobody")
    # Then
    assert len(agenda) == 1
    assert agenda.next_time() == 3.0


def test_moving_an_entry_many_times_keeps_the_heap_small() -> None:
    # Given
    agenda = Agenda()
    # When
    for i in range(100_000):
        agenda.set(("r", A), float(i))
    # Then
    assert len(agenda._heap) <= 1_001
    assert agenda.next_time() == 99_999.0


def test_forgetting_many_runs_leaves_no_heap_behind() -> None:
    # Given
    agenda = Agenda()
    for i in range(5_000):
        agenda.set((f"r{i}", A), 1e9)
    # When
    for i in range(5_000):
        agenda.forget(f"r{i}")
    # Then
    assert len(agenda._heap) <= 1_000
    assert agenda._current == {}


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["set", "unset", "take", "forget"]),
        st.integers(0, 3),
        st.integers(0, 20),
    ),
    max_size=60,
)


@examples(100, 3_000)
@given(operations=OPERATIONS)
def test_an_agenda_is_a_mapping_of_entries_to_times(
    operations: list[tuple[str, int, int]],
) -> None:
    # Given
    agenda, model = Agenda(), dict[tuple[str, Timer], float]()
    for what, n, time in operations:
        entry = (f"r{n % 2}", (A, B)[n // 2])
        # When
        if what == "set":
            agenda.set(entry, float(time))
            model[entry] = float(time)
        elif what == "unset":
            agenda.set(entry, None)
            model.pop(entry, None)
        elif what == "forget":
            agenda.forget(entry[0])
            model = {e: t for e, t in model.items() if e[0] != entry[0]}
        else:
            taken = agenda.take(float(time), n)
            due = sorted(t for t in model.values() if t <= time)
            assert [model.pop(e) for e in taken] == due[:n]
        # Then
        assert len(agenda) == len(model)
        assert agenda.next_time() == min(model.values(), default=None)
        assert all(agenda.has(e) for e in model)
