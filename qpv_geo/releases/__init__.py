"""Which release is current, which are held or refused, and why."""
