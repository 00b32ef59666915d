"""Tests of shop.py. They need pytest-asyncio in its mode "auto"."""

from unittest.mock import ANY

import pytest
from shop import apologize, charge, fulfil, mf, ship

from mageflow.errors import TaskFailed
from mageflow.testing import TestApp, like

pytestmark = pytest.mark.mageflow(app=mf)  # or mageflow_app = "shop:mf" in pytest's settings
ORDER, AMOUNT = 7, 30
QUARTER = 900


async def test_an_order_is_charged_then_shipped(mageflow_app: TestApp) -> None:
    began = mageflow_app.clock.now()

    parcel = await fulfil(ORDER, AMOUNT).run(timeout=5)

    assert parcel == "parcel, with receipt of 30 for order 7"
    assert mageflow_app.clock.now() == began + QUARTER
    mageflow_app.assert_chain([like(charge, order=ORDER, amount=ANY), ship], times=1)


async def test_nothing_is_charged_before_its_time(mageflow_app: TestApp) -> None:
    run = await fulfil(ORDER, AMOUNT).start()

    await mageflow_app.advance(QUARTER - 1)
    mageflow_app.assert_not_ran(charge)
    await run.cancel()
    await mageflow_app.advance(QUARTER)

    mageflow_app.assert_not_ran(charge)


async def test_a_bank_that_is_down_is_asked_again(mageflow_app: TestApp) -> None:
    with mageflow_app.replace(charge, [ConnectionError("down"), "receipt"]):
        parcel = await fulfil(ORDER, AMOUNT).run(timeout=5)

    assert parcel == "parcel, with receipt"
    mageflow_app.assert_ran(charge, times=1, outcome="failed")


async def test_who_cannot_pay_is_told(mageflow_app: TestApp) -> None:
    mageflow_app.replace(charge, ValueError("no funds"))

    with pytest.raises(TaskFailed, match="no funds"):
        await fulfil(ORDER, AMOUNT).run(timeout=5)
    await mageflow_app.settle()

    mageflow_app.assert_not_ran(ship)
    mageflow_app.assert_ran(apologize, order=ORDER)


@pytest.mark.parametrize("at", ["before", "during", "after"])
async def test_an_order_is_charged_once_although_the_worker_dies(
    mageflow_app: TestApp, at: str
) -> None:
    charged: dict[int, int] = {}  # what the bank knows: it takes an order's number only once

    async def bank(order: int, amount: int) -> str:
        charged.setdefault(order, amount)
        return "receipt"

    mageflow_app.replace(charge, bank)
    with mageflow_app.crash(charge, at=at):
        await fulfil(ORDER, AMOUNT).run(timeout=5)

    assert charged == {ORDER: AMOUNT}


def test_code_without_a_loop_can_be_tested_too(mageflow_app: TestApp) -> None:
    run = fulfil(ORDER, AMOUNT).start_sync()

    mageflow_app.settle_sync()

    assert run.result_sync(timeout=5).startswith("parcel")
