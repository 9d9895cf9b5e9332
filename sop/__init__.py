"""Second floor: what to do for whom, when (SOP)."""
