"""Removes credentials from text that clipmill writes into logs and run records."""

import re

REDACTED = "***"
ENVIRONMENT_PREFIX = "env:"  # such a value names an environment variable and holds no secret itself
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_SIGNATURE = re.compile(r"(://[^\s?\"']+)\?[^\s\"']+")
_SECRET_NAME = re.compile(r"token|secret|passw|credential|api_?key|endpoint", re.IGNORECASE)


def redact(value: str) -> str:
    """Replace a secret value by `***`. An empty value and a value such as `env:NAME` stay unchanged."""
    return value if not value or value.startswith(ENVIRONMENT_PREFIX) else REDACTED


def redact_urls(text: str) -> str:
    """Remove user names, passwords and query strings (signatures) from the URLs in a text."""
    return _SIGNATURE.sub(r"\1?***", _USER.sub("", text))


def redact_knob(name: str, value: str) -> str:
    """Redact the value of a knob whose name suggests a secret, and the URLs in any other value."""
    return redact(value) if _SECRET_NAME.search(name) else redact_urls(value)


def redact_argument(argument: str) -> str:
    """Redact one command-line argument, such as `knob=value`."""
    name, equals, value = argument.partition("=")
    return f"{redact_urls(name)}{equals}{redact_knob(name, value)}"
