"""Planning: which tables a DAG needs, and the keys that name them."""
