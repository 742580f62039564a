"""aiohttp with 16 requests at once, orjson, and pyarrow on a thread of its own: by hand, for speed.

No retries, no checks, nothing to go on from: what a good programmer writes for one dump.
"""

import asyncio

import aiohttp
import orjson
import uvloop
from yarl import URL

import records
import task


async def export(given: task.Task) -> None:
    pages: asyncio.Queue = asyncio.Queue()
    for meeting in given.meetings:
        pages.put_nowait((meeting, 0))
    writer, turn = records.writer(given.out), asyncio.Lock()
    batch = records.Batch()

    async def write(full: records.Batch) -> None:
        async with turn:
            await asyncio.to_thread(lambda: writer.write_table(full.table()))

    def take(meeting: str, offset: int, body: bytes) -> None:
        # A function, so that its objects are gone, and their memory warm, when the next page comes.
        page = orjson.loads(body)
        if offset == 0:
            for later in range(task.PAGE, page["count"], task.PAGE):
                pages.put_nowait((meeting, later))
        batch.add(meeting, page["data"])

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal batch
        while True:
            meeting, offset = await pages.get()
            url = URL(given.url(meeting, offset), encoded=True)
            async with session.get(url) as answer:
                take(meeting, offset, await answer.read())
            if batch.is_full:
                full, batch = batch, records.Batch()
                await write(full)
            pages.task_done()

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=task.AT_ONCE),
        headers=given.headers,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=1 << 18,
        raise_for_status=True,
    ) as session:
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(work(session)) for _ in range(task.AT_ONCE)]
            # An error of a worker ends the group, and this wait with it.
            await pages.join()
            for worker in workers:
                worker.cancel()
    await write(batch)
    writer.close()


uvloop.run(export(task.given()))
