"""Text beside a committed offset, which Kafka keeps with it. The embedded broker drops the text: there it is in a file.

Whoever uses the embedded broker is on its machine and has its data directory.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from infra.settings import Settings


class OffsetMetadata:
    """The texts of one consumer group."""

    def __init__(self, settings: Settings, group: str) -> None:
        """Opens nothing yet."""
        self._folder = settings.data_dir / group if settings.kafka_is_embedded else None

    async def commit(self, consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int, text: str) -> None:
        """Commit ``offset`` of an assigned partition with ``text``. A file that cannot be written is left out.

        Raises:
            KafkaError: among others ``OffsetMetadataTooLargeError``; Kafka's default limit is 4,096 bytes.
        """
        if self._folder is not None:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(_write, self._folder / _name_of(partition), text)
            text = ""
        await consumer.commit({partition: (offset, text)})

    async def offsets(
        self, consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, OffsetAndMetadata]:
        """What is committed for each of ``partitions`` for which anything is, asked for in one request.

        Raises:
            KafkaError: the broker does not answer.
        """
        found: Mapping[TopicPartition, OffsetAndMetadata] = await consumer._coordinator.fetch_committed_offsets(
            list(partitions)
        )
        return {partition: each for partition, each in found.items() if each.offset >= 0}

    async def texts(self, found: Mapping[TopicPartition, OffsetAndMetadata]) -> Mapping[TopicPartition, str]:
        """The text beside each offset of ``found``; empty where there is none."""
        folder = self._folder
        if folder is None:
            return {partition: each.metadata or "" for partition, each in found.items()}
        if not found:
            return {}
        return await asyncio.to_thread(lambda: {each: _read(folder / _name_of(each)) for each in found})


def _name_of(partition: TopicPartition) -> str:
    return f"{partition.topic}-{partition.partition}.json"


def _write(file: Path, text: str) -> None:
    draft = file.with_name(f".{file.name}-{os.getpid()}")
    try:
        draft.write_text(text)
    except FileNotFoundError:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.write_text(text)
    draft.replace(file)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
