"""What a guide can write to the bot (导购口令): reading it, and the answers."""
