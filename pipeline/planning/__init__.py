"""Planning: determines the tables that a DAG needs and the keys that name them."""
