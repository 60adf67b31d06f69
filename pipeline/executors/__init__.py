"""The executors: `inline` in this process, `on_ray` on a Ray cluster."""
