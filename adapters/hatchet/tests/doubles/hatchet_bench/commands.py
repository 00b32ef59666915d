"""The app that worker commands of the tests serve; it writes down what it does."""

from __future__ import annotations

from hatchet_sdk import Context, Hatchet
from pydantic import BaseModel

from mageflow_conformance.backends.place import add_tasks, note
from mageflow_core import Mageflow


class Text(BaseModel):
    text: str


mf = Mageflow(warn_unclosed=False)
hatchet: Hatchet = mf.native
add_tasks(mf)


@hatchet.task(name="Bench-Native", input_validator=Text)
async def native(given: Text, _context: Context) -> dict[str, str]:
    note(f"native {given.text}")
    return {"said": given.text}


if __name__ == "__main__":  # as Hatchet's own documentation has a worker
    hatchet.worker("bench", slots=4, workflows=[native]).start()
