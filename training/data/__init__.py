"""Reading latents: shards with provenance, in an order that one integer determines."""
