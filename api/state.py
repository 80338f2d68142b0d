"""What the handlers find in the application."""

from typing import Final

from aiohttp import web

from api.bells import Bells
from api.database import Database
from api.feed import Feed
from api.health import Health
from api.intake import Intake
from api.stats import Stats
from groundwork.settings import Settings
from groundwork.storage import Storage

SETTINGS: Final = web.AppKey("settings", Settings)
DATABASE: Final = web.AppKey("database", Database)
STORAGE: Final = web.AppKey("storage", Storage)
BELLS: Final = web.AppKey("bells", Bells)
INTAKE: Final = web.AppKey("intake", Intake)
HEALTH: Final = web.AppKey("health", Health)
FEED: Final = web.AppKey("feed", Feed)
STATS: Final = web.AppKey("stats", Stats)
