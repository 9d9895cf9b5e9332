"""First floor: what may be said (内容库)."""
