"""Parallelism, applied to single-device networks from outside: process groups, sharding, context."""
