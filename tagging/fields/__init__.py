"""The fields of conditions (条件字段), one file a noun: orders, members, follows, stores, tags."""
