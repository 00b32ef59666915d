"""Workers whose store has flows go on in another way."""

from __future__ import annotations

from typing import Any

from mageflow_core import Mageflow
from mageflow_core.machine import Continued, Done
from mageflow_core.runtime.runner import Runner
from mutants.breaking import fails, in_script, replace


@fails("B-FLOW-02", "B-FLOW-03")
def begins_all_items_of_a_swarm(_mf: Mageflow) -> None:
    in_script("swarm", "draft.of(node).limit or count", "count")


@fails("B-FLOW-04")
def ends_a_swarm_only_in_success(_mf: Mageflow) -> None:
    in_script("swarm", "elseif total > 0 and inner.done == 0 then", "elseif false then")


@fails("B-FLOW-05")
def goes_on_after_any_number_of_failures(_mf: Mageflow) -> None:
    in_script("swarm", "node.ending or (limit and node.inner.failed >= limit)", "node.ending")


@fails("B-FLOW-07")
def waits_for_ever_for_more_items(_mf: Mageflow) -> None:
    in_script("fire", "HANDLERS.idle()\n", "HANDLERS.idle() do return end\n")


@fails("B-FLOW-01", "B-FLOW-09")
def forgets_the_result_of_a_chain(_mf: Mageflow) -> None:
    own = "node.res, node.carried = last.res, last.carried"
    in_script("chain", own, "node.res, node.carried = node.path, node.path")


@fails("B-FLOW-08")
def begins_nodes_of_a_graph_at_the_first_result(_mf: Mageflow) -> None:
    in_script("graph", "return told == #graph.part(node, name).needs", "return told <= 1")


@fails("B-FLOW-12")
def goes_on_after_a_step_that_failed(_mf: Mageflow) -> None:
    in_script("chain", "elseif step.st == 'failed' then", "elseif false then")
    in_script("chain", "if step and step.st == 'done' then", "if step and ENDED[step.st] then")


@fails("B-FLOW-01", "B-FLOW-14")
def begins_a_step_before_the_one_before_has_ended(_mf: Mageflow) -> None:
    step = "return chain.begin_step(node, children.edit(node, inner.cursor), before)"
    early = """chain.begin_step(node, children.edit(node, inner.cursor), before)
      local next = before and inner.cursor + 1 < steps and children.edit(node, inner.cursor + 1)
      if next and next.st == 'pending' then
        life.begin_child(node, next, node.msg, before.carried, nil)
      end
      return"""
    in_script("chain", step, early)


@fails("B-FLOW-11")
def forgets_what_a_task_goes_on_with(_mf: Mageflow) -> None:
    @replace(Runner, "_returned")
    def returned(before: Any, self: Any, *given: Any) -> Any:
        outcome, error = before(self, *given)
        return (Done(value="null"), None) if isinstance(outcome, Continued) else (outcome, error)


@fails("B-FLOW-13")
def has_one_result_for_all_items(_mf: Mageflow) -> None:
    """As where values are stored under the name of the container."""
    first: dict[str, Any] = {}

    @replace(Runner, "_returned")
    def returned(before: Any, self: Any, *given: Any) -> Any:
        task, work, bound, value = given
        swarm = work.key.rpartition("/")[0]
        return before(self, task, work, bound, first.setdefault(f"{swarm} {task.name}", value))
