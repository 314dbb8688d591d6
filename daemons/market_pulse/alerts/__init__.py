"""Tells an operator who is not looking what `market-pulse status` finds: once when it begins, once when it is over."""
