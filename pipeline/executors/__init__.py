"""The executors: `inline` runs a plan in this process, `on_ray` on a Ray cluster."""
