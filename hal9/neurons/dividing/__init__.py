"""A task into parts and their results into one: looking first, splitting, choosing who suits, merging."""
