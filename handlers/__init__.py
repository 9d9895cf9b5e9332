"""The doors (门): callbacks, events, pages, clock and queue. Each parses, calls a room, answers."""
