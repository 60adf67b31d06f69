"""What a chat model is asked: the windows of a clip, their images, and the prompts."""
