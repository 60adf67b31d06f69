"""Text encoders: captions to embeddings."""
