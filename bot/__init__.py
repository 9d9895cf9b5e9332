"""Ground floor: what the bot knows, hears and says.

The steps, lower first: settings, clock, errors, embedded; db; limiter; wecom; crm; bot; jobs;
inbox and outbox; sandbox. A module imports lower steps only.
"""
