"""The engine: schedules the tasks of a plan, and runs one task on a worker."""
