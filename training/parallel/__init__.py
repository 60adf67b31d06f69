"""Parallelism, applied to single-device networks: process groups, FSDP2, context parallelism."""
