"""Runs plans on Ray: pools of actors that hold opened stages and take parts."""

from pipeline.executors.on_ray.executor import OnRay as OnRay
