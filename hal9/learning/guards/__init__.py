"""Guards: predicates over an action about to be taken, tested before they hold, counted as they fire."""
