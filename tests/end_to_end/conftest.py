"""The deployments on which the end-to-end tests run."""

from contextlib import ExitStack
from uuid import uuid4

import pytest

from deployment import Deployment
from kafka_servers import EmbeddedBroker


@pytest.fixture(scope="module", params=["embedded-sqlite-files", "kafka-sqlite-files", "kafka-postgres-s3"])
def deployment(request, server_folder):
    """The default parts, Apache Kafka, and PostgreSQL with S3; the tests of a file share one deployment."""
    kind = request.param
    folder = server_folder / f"{kind}-{uuid4().hex[:8]}"
    folder.mkdir()
    with ExitStack() as running:
        variables = {}
        if "postgres" in kind:
            database = request.getfixturevalue("postgres").fresh_database()
            variables["database_url"] = running.enter_context(database)
        if "s3" in kind:
            variables |= request.getfixturevalue("s3_server").location(kind).settings
        broker = (
            running.enter_context(EmbeddedBroker(folder))
            if "embedded" in kind
            else request.getfixturevalue("apache_kafka_server")
        )
        broker.clear()
        whole = Deployment(folder, broker, **variables)
        running.callback(whole.stop)
        yield whole.start()
