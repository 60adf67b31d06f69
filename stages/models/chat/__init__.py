"""Chat models: endpoints, models in this process, their prompts, and the stages that call them."""
