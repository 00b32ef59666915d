"""Reports of a year's sales. The setting `store` says where the state of their runs is kept."""

from mageflow import ChainSignature, Mageflow, chain, swarm

mf = Mageflow()


@mf.task(retries=3)
def add_up(month: int, year: int) -> int:
    return year % 100 + month


@mf.task
async def write(sales: list[int], year: int) -> str:
    return f"{year}: {sum(sales)}"


def report(year: int) -> ChainSignature[str]:
    months = swarm([add_up.sign(month=month) for month in range(1, 13)])
    return chain(months, write, name="report", year=year)
