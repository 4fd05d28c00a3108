"""How an index lies on disk: arrays, records, sparse matrices, the cache file."""
