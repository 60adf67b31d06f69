"""Lists the prompts of videos to sample, and rewrites short ones into captions."""
