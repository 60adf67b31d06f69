"""Guardrails: check prompts and videos, and blur faces. A stage records a verdict, and a rule acts on it."""
