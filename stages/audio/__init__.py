"""Measures the audio of clips: silence, loudness, peaks, clipping and speech."""
