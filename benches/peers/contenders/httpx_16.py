"""httpx with 16 requests at once, orjson and pyarrow: the usual asynchronous script."""

import asyncio

import httpx
import orjson

import records
import task


async def export(given: task.Task) -> None:
    pages: asyncio.Queue = asyncio.Queue()
    for meeting in given.meetings:
        pages.put_nowait((meeting, 0))
    batch = records.Batch()

    async def work(client: httpx.AsyncClient) -> None:
        nonlocal batch
        while True:
            meeting, offset = await pages.get()
            answer = await client.get(given.url(meeting, offset))
            answer.raise_for_status()
            page = orjson.loads(answer.content)
            if offset == 0:
                for later in range(task.PAGE, page["count"], task.PAGE):
                    pages.put_nowait((meeting, later))
            batch.add(meeting, page["data"])
            if batch.is_full:
                writer.write_table(batch.table())
                batch = records.Batch()
            pages.task_done()

    limits = httpx.Limits(max_connections=task.AT_ONCE, max_keepalive_connections=task.AT_ONCE)
    writer = records.writer(given.out)
    async with httpx.AsyncClient(headers=given.headers, limits=limits, timeout=60) as client:
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(work(client)) for _ in range(task.AT_ONCE)]
            # An error of a worker ends the group, and this wait with it.
            await pages.join()
            for worker in workers:
                worker.cancel()
    writer.write_table(batch.table())
    writer.close()


asyncio.run(export(task.given()))
