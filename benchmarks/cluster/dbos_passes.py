"""A peer: the same three layers down and up as steps of a DBOS workflow on SQLite."""

import concurrent.futures
import json
import logging
import sys
import tempfile
import time
from importlib import metadata

from dbos import DBOS, DBOSConfig


@DBOS.step()
def l4(objective: str) -> str:
    return objective


@DBOS.step()
def l3(directive: str) -> str:
    return directive


@DBOS.step()
def l2(design: str) -> str:
    return "done"


@DBOS.step()
def l3_up(answer: str) -> str:
    return answer


@DBOS.step()
def l4_up(gathered: str) -> str:
    return gathered


@DBOS.workflow()
def one_pass(objective: str) -> str:
    return l4_up(l3_up(l2(l3(l4(objective)))))


def main(passes: int, concurrency: int) -> None:
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        config: DBOSConfig = {"name": "passes", "system_database_url": f"sqlite:///{folder}/dbos.db"}
        DBOS(config=config)
        DBOS.launch()
        latencies: list[float] = []

        def one(number: int) -> None:
            begun = time.perf_counter()
            assert one_pass(f"pass {number}") == "done"
            latencies.append(time.perf_counter() - begun)

        def run(count: int) -> float:
            begun = time.perf_counter()
            with concurrent.futures.ThreadPoolExecutor(concurrency) as pool:
                list(pool.map(one, range(count)))
            return time.perf_counter() - begun

        run(min(50, passes))
        latencies.clear()
        seconds = run(passes)
        DBOS.destroy()
    versions = {"dbos": metadata.version("dbos")}
    print(
        json.dumps(
            {"seconds": seconds, "rate": passes / seconds, "latencies": latencies, "versions": versions}
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
