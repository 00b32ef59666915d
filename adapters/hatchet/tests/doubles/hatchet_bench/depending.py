"""Tasks that depend on something, where annotations are no text: Hatchet reads no such ones."""

from typing import Annotated

from hatchet_sdk import Context, Depends, Hatchet
from pydantic import BaseModel


class Payment(BaseModel):
    amount: int
    to: str = "ada"


async def bank(given: Payment, context: Context) -> str:
    return f"bank of {given.to}, attempt {context.attempt_number}"


def add_paying(hatchet: Hatchet) -> list[object]:
    @hatchet.task(name="pays", input_validator=Payment)
    async def pays(
        order: Payment, _context: Context, bank: Annotated[str, Depends(bank)]
    ) -> dict[str, str]:
        return {"paid": f"{order.amount} by {bank}"}

    @hatchet.task(name="pays-in-thread", input_validator=Payment)
    def pays_in_thread(
        order: Payment, _context: Context, bank: Annotated[str, Depends(bank)]
    ) -> dict[str, str]:
        return {"paid": f"{order.amount} by {bank}"}

    return [pays, pays_in_thread]
