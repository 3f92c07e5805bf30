"""The one fixture of these tests."""

from targets import target

__all__ = ["target"]
