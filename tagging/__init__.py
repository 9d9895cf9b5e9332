"""First floor: who is who (标签): tags, rules, lifecycle stages and scores."""
