"""Checks of a text: word lists, the search for their entries, and the replies of safety models."""
