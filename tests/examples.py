"""How many examples hypothesis tries where each of them takes long."""

from hypothesis import settings


def examples(count: int) -> settings:
    """Try so many examples where other tests try 60; HYPOTHESIS_PROFILE multiplies both."""
    return settings(max_examples=count * settings.default.max_examples // 60)
