"""Questions about clips, read from a file, and the answers of a chat model, parsed."""
