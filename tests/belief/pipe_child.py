"""A node host in a process of its own: reads turn requests from stdin, writes replies to stdout."""

import asyncio
import json
import sys

from hal9.belief import Policy, serve_lines
from hal9.belief.synthetic_problems import peaks, rugged
from tests.belief.support import bench_of

if __name__ == "__main__":
    what = json.loads(sys.argv[1])
    policy = Policy(**{**what["policy"], "stages": tuple(what["policy"]["stages"])})
    land = peaks(*what["args"], **what["options"]) if what["make"] == "peaks" else rugged(*what["args"])
    asyncio.run(serve_lines(bench_of(land, policy), sys.stdin.buffer, sys.stdout.buffer))
