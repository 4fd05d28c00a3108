"""The daemon as a process: started, watched, judged from outside, and how it ended before."""
