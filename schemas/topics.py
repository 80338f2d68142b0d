"""Names of topics and consumer groups, and which topics a deployment needs."""

from typing import Final

UPLOADED: Final = "photos.uploaded"
DELETED: Final = "photos.deleted"
STARTED: Final = "thumbnails.started"
READY: Final = "thumbnails.ready"
FAILED: Final = "thumbnails.failed"
FILES_DELETED: Final = "thumbnails.deleted"
RETRY: Final = "photos.uploaded.retry"
DEAD: Final = "photos.uploaded.dead"
PROJECTED_DEAD: Final = "photos.projected.dead"

#: What the worker answers on.
RESULTS: Final = (STARTED, READY, FAILED, FILES_DELETED)

#: What the projector folds into the database.
PROJECTED: Final = (UPLOADED, DELETED, *RESULTS)

#: Records that could not be processed: the worker's dead letters, and the projector's.
DEAD_LETTERS: Final = (DEAD, PROJECTED_DEAD)

#: Topics that the projector reads and whose invalid records the worker makes dead letters of.
DEAD_LETTERED_BY_WORKER: Final = (UPLOADED, DELETED)

ALL: Final = (UPLOADED, DELETED, *RESULTS, RETRY, *DEAD_LETTERS)

#: What nearly every photo adds a record to.
BUSY: Final = (UPLOADED, STARTED, READY)

#: Consumer groups.
WORKER_GROUP: Final = "thumbstream-worker"
PROJECTOR_GROUP: Final = "thumbstream-projector"
#: Commits the sentinel offsets: see :mod:`api.publishing.topic_loss`.
TOPIC_LOSS_GROUP: Final = "thumbstream-memory"
#: Each worker commits to it every few seconds while it runs.
HEARTBEAT_GROUP: Final = "thumbstream-worker-heartbeat"
