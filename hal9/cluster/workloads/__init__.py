"""Long workloads as tasks: the child process, what it may say, and who starts it."""
