"""Previews: what a run would do and decide, without writing anything."""
