"""Start flows of a project on Taskiq, and call its tasks as ever. Workers run them."""

import asyncio

from shop import charge, mf, sale


async def main() -> None:
    async with mf:  # which starts the broker, if nobody has
        run = await mf.start(sale(to="ada@example.com"), {"amount": 30}, key="order-7")
        text = await run.result(timeout=60)
        print(text)
        assert text == "ada@example.com: receipt for 30"

        await charge.kiq(50)  # is what it was, and no run


asyncio.run(main())
