"""Typed keys of what the application keeps for its handlers."""

from typing import Final

from aiohttp import web

from api.feed.health import Health, Workers
from api.feed.stats import Stats
from api.feed.subscribers import Feed
from api.figures.recorder import Recorder
from api.photos.photo_hasher import PhotoHasher
from api.photos.recipe_trial.trial import RecipeTrials
from api.photos.uploads import UploadStore
from api.store.database import Database
from api.store.wakeups import Wakeups
from infra.kafka.queue_positions import QueuePositions
from infra.settings import Settings
from infra.storage.client import Storage

SETTINGS: Final = web.AppKey("settings", Settings)
DATABASE: Final = web.AppKey("database", Database)
STORAGE: Final = web.AppKey("storage", Storage)
WAKEUPS: Final = web.AppKey("wakeups", Wakeups)
UPLOAD_STORE: Final = web.AppKey("upload_store", UploadStore)
PHOTO_HASHER: Final = web.AppKey("photo_hasher", PhotoHasher)
RECIPE_TRIALS: Final = web.AppKey("recipe_trials", RecipeTrials)
HEALTH: Final = web.AppKey("health", Health)
FEED: Final = web.AppKey("feed", Feed)
QUEUE_POSITIONS: Final = web.AppKey("queue_positions", QueuePositions)
STATS: Final = web.AppKey("stats", Stats)
WORKERS: Final = web.AppKey("workers", Workers)
RECORDER: Final = web.AppKey("recorder", Recorder)
