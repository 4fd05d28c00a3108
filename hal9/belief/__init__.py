"""The promptgram population: nodes with beliefs that pass signals, fork, merge and come to rest.

bench = Bench(space=PromptgramSpace(), evaluator=..., proposer=..., policy=Policy())
population = Population(bench.space, bench.evaluator.items, LocalHost(bench), budget=4000, seed=1)
population.add("l1", promptgram)
outcome = await population.run()
outcome.reason, outcome.winner.belief, population.log
"""

from hal9.belief.evidence import Evaluator, Evidence, Paired, Proposer, sign_test
from hal9.belief.genealogy import Birth, Genealogy, LogEntry, genealogy_of
from hal9.belief.item_router import ItemRouter, RouterQuality, router_of
from hal9.belief.message_writer import TurnContext
from hal9.belief.node import NodeState
from hal9.belief.outcome import Outcome, RankedNode
from hal9.belief.policy import Policy, StopReason
from hal9.belief.population import Population
from hal9.belief.signals import Signal
from hal9.belief.space import BeliefSpace, Choice, Config, ConfigSpace, PromptgramSpace
from hal9.belief.transport import (
    LocalHost,
    NodeHost,
    PipeHost,
    ReplayHost,
    SpreadHost,
    answer_line,
    serve_lines,
)
from hal9.belief.turn import TurnReply, TurnRequest, take_turn

__all__ = [
    "BeliefSpace",
    "Birth",
    "Choice",
    "Config",
    "ConfigSpace",
    "Evaluator",
    "Evidence",
    "Genealogy",
    "ItemRouter",
    "LocalHost",
    "LogEntry",
    "NodeHost",
    "NodeState",
    "Outcome",
    "Paired",
    "PipeHost",
    "Policy",
    "Population",
    "PromptgramSpace",
    "Proposer",
    "RankedNode",
    "ReplayHost",
    "RouterQuality",
    "Signal",
    "SpreadHost",
    "StopReason",
    "TurnContext",
    "TurnReply",
    "TurnRequest",
    "answer_line",
    "genealogy_of",
    "router_of",
    "serve_lines",
    "sign_test",
    "take_turn",
]
