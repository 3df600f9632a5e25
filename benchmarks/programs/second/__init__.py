"""The put-aside half of the bed: not to be read by whoever writes rules, before the rules are done."""
