"""Chat models: an OpenAI-compatible endpoint, and a model in this process."""
