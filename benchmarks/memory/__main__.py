"""Both measurements of the memory room: accuracy, then speed."""

from benchmarks.memory import accuracy, speed

accuracy.main()
speed.main()
