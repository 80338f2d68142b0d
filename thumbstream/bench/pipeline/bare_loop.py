"""A hand-written worker: aiokafka and the product's renderer, with nothing around.

``python -m thumbstream.bench.pipeline.bare_loop BOOTSTRAP TOPIC RESULTS FOLDER PROCESSES``: reads file names from
``TOPIC``, renders the default renditions into ``FOLDER``, sends a record to ``RESULTS`` for each. SIGTERM ends it.
"""

import asyncio
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from thumbstream.bench.pipeline.raw_rate import prepare, render_one


async def _serve(bootstrap: str, topic: str, results: str, folder: str, processes: int) -> None:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    from schemas.renditions import DEFAULT_RENDITIONS

    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=None, fetch_max_wait_ms=20)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    loop = asyncio.get_running_loop()
    await consumer.start()
    await producer.start()
    slots = asyncio.Semaphore(processes)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=prepare) as pool:
        await asyncio.gather(*(loop.run_in_executor(pool, abs, 1) for _ in range(processes * 4)))

        async def one(name: str) -> None:
            try:
                await loop.run_in_executor(pool, render_one, Path(name), DEFAULT_RENDITIONS, 10**8, Path(folder))
            finally:
                slots.release()
            await producer.send_and_wait(results, name.encode())

        print("ready", flush=True)
        async with asyncio.TaskGroup() as group:
            async for record in consumer:
                await slots.acquire()
                group.create_task(one(record.value.decode()))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        bootstrap, topic, results, folder, processes = sys.argv[1:]
        asyncio.run(_serve(bootstrap, topic, results, folder, int(processes)))
    except (KeyboardInterrupt, BaseExceptionGroup):
        sys.exit(0)
