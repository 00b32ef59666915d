"""Its Celery app."""

import os

from celery import Celery

REDIS = os.environ.get("REDIS_URL", "redis://localhost:6379/0")

app = Celery("shop", broker=REDIS, backend=REDIS, include=["shop.tasks"])
app.conf.worker_prefetch_multiplier = 1
app.conf.broker_connection_retry_on_startup = True
app.conf.beat_schedule = {
    "nightly": {
        "task": "shop.nightly",
        "schedule": float(os.environ.get("SHOP_NIGHT", "86400")),  # seconds
    },
}
