"""A shop that has been on Celery for years."""
