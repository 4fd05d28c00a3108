"""What neurons are given by their process: minds, maps, routes, memory, replays."""
