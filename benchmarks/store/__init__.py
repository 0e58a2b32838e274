"""The store beside what it stands on and its peers: raw lmdb, sqlite3, dbm.gnu. Run as `python -m benchmarks.store`."""
