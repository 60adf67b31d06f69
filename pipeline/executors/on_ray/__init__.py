"""Runs plans on Ray: pools of actors hold opened stages and process parts."""

from pipeline.executors.on_ray.executor import OnRay as OnRay
