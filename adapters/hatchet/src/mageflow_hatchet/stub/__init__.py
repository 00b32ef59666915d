"""An emulation of Hatchet's engine, for tests where the real one cannot run.

Written on the classes that Hatchet's client ships, it serves that client and its workers: runs by
name, bulk or one at a time, metadata, links to parents, priorities, retries, timeouts, crashes,
cancelling, results. It heeds no concurrency or rate limits, and runs workflows of one step only.
What runs on it says nothing of the engine itself.

`python -m mageflow_hatchet.stub --port 7077 --api-port 8888 --file runs.db`
"""
