"""Captions: what a clip shows, said in words, with a record of who said it."""
