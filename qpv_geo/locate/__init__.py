"""Points of a user's file located in the QPV of a release: the same file comes out, with columns added."""
