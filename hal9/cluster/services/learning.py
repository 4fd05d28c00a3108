"""Learning in a process: everything it consists of, opened once in the order of need."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from hal9.bus import Courier
from hal9.cluster.plan import NodePlan
from hal9.cluster.scheduler import SCHEDULER
from hal9.cluster.services.gradient_intake import GradientIntake
from hal9.cluster.services.learning_loops import LearningLoops
from hal9.cluster.services.learning_requests import LearningRequests
from hal9.cluster.services.mapping import RipmapMapper
from hal9.cluster.services.replayer import TaskReplayer
from hal9.cluster.services.retrieval import RuleRetrieval
from hal9.cluster.services.thinking import MindPool
from hal9.database import keep_private
from hal9.errors.memory import EmbedderUnavailable
from hal9.journal import Journal
from hal9.learning import (
    ActionAdvisor,
    ChecksFirst,
    Critic,
    EngineDependencies,
    LearnedGate,
    LearningEngine,
    PromptStore,
    RuleLearner,
)
from hal9.memory import Embedder, MemoryStore, RulePolicy, RuleStore, open_embedder
from hal9.minds.protocol import Reply, Request
from hal9.neurons import CallContext

__all__ = ["LearningService", "choose_embedder", "open_learning"]


def choose_embedder(spec: str) -> tuple[Embedder | None, str]:
    """The embedder that a home's settings want, and a notice when "auto" had to take the lesser one.

    Raises:
        EmbedderUnknown, EmbedderUnavailable, WeightsMismatch: a named one cannot be used.
    """
    if spec != "auto":
        return open_embedder(spec), ""
    try:
        return open_embedder("onnx-minilm"), ""
    except EmbedderUnavailable as error:
        notice = f"memory.embedder auto uses word hashing, which finds much less: {error}"
        return open_embedder("hashing"), notice


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningService:
    """What a process knows of learning.

    Attributes:
        store: the memory file, on the connection that writes.
        prompts: promptgrams in force.
        engine: from an error to a rule or a change of a prompt.
        replayer: runs remembered tasks anew.
        gate: guards of rules, over actions about to be taken.
        advisor: what the gate asks; other agents' hooks ask it too.
        retrieval: what neurons are told.
        gradients: takes errors that arrive.
        requests: answers requests of the journal.
        loops: what goes on by itself.
    """

    store: MemoryStore
    prompts: PromptStore
    engine: LearningEngine
    replayer: TaskReplayer
    gate: LearnedGate
    advisor: ActionAdvisor
    retrieval: RuleRetrieval
    gradients: GradientIntake
    requests: LearningRequests
    loops: LearningLoops


class _Connections:
    """Connections to one memory file, closed together."""

    def __init__(self, plan: NodePlan, stack: AsyncExitStack) -> None:
        self._plan = plan
        self._stack = stack

    async def open(self, embedder: Embedder | None = None) -> MemoryStore:
        store = MemoryStore(self._plan.home.memory, embedder=embedder, clock=self._plan.clock)
        # In a thread: the file may have to be migrated.
        self._stack.push(await asyncio.to_thread(store.__enter__))
        return store


@asynccontextmanager
async def open_learning(
    plan: NodePlan, *, minds: MindPool, journal: Journal, courier: Courier
) -> AsyncGenerator[LearningService, None]:
    """Open the memory file and all that learns from it.

    Args:
        plan: the process it learns in.
        minds: for critic, judge and replays.
        journal: tasks, steps, requests.
        courier: carries the gradients; not entered yet.
    """
    settings, changed = plan.settings, asyncio.Event()
    embedder, notice = await asyncio.to_thread(choose_embedder, settings().memory.embedder)
    if notice:
        plan.alert(notice)
    async with AsyncExitStack() as stack:
        connections = _Connections(plan, stack)
        store = await connections.open(embedder)
        # Of their own, so that no neuron waits for consolidation or for finished tasks being recorded.
        recalling, scopes = await connections.open(embedder), await connections.open()
        keep_private(plan.home.memory)
        prompts = PromptStore(store, {name: one.promptgram for name, one in plan.definitions.items()})
        for text in prompts.notices:
            plan.alert(text)
        replayer = TaskReplayer(
            home=plan.home,
            settings=settings,
            definitions=plan.definitions,
            prompts=prompts,
            minds=minds,
            journal=journal,
            clock=plan.clock,
        )
        engine = _engine(plan, store, prompts, minds, replayer)
        # A neuron's own process has only its part of a task's path.
        gradients = GradientIntake(engine, journal, whole_tasks=plan.whole_tasks, changed=changed)
        requests = LearningRequests(
            engine,
            settings=settings,
            journal=journal,
            courier=courier,
            gradients=gradients,
            changed=changed,
            alert=plan.alert,
        )
        advisor = ActionAdvisor(await connections.open(), effect=settings().memory.guards)
        yield LearningService(
            store=store,
            prompts=prompts,
            engine=engine,
            replayer=replayer,
            gate=LearnedGate(advisor, learning=lambda: engine.learning),
            advisor=advisor,
            retrieval=_retrieval(plan, recalling, scopes),
            gradients=gradients,
            requests=requests,
            loops=LearningLoops(prompts, engine.gate, changed=changed, clock=plan.clock, alert=plan.alert),
        )


def _retrieval(plan: NodePlan, recalling: MemoryStore, scopes: MemoryStore) -> RuleRetrieval:
    return RuleRetrieval(
        recalling,
        RuleStore(scopes),
        definitions=plan.definitions,
        settings=plan.settings,
        likely_files=RipmapMapper(plan.settings().repository_map).likely_files,
    )


def _engine(
    plan: NodePlan, store: MemoryStore, prompts: PromptStore, minds: MindPool, replayer: TaskReplayer
) -> LearningEngine:
    settings = plan.settings

    async def ask(spec: str, request: Request, purpose: str) -> Reply:
        """Ask a mind for learning's own purposes; it goes on the accounts under that purpose."""
        call = CallContext(task_id=purpose, call_id=purpose, neuron="learning")
        return await minds.think(spec, request, call=call)

    critic = Critic(ask, spec=lambda: settings().minds.critic)
    trusted = settings().minds.trusted_rule_writers
    rule_learner = RuleLearner(
        store,
        rules=RuleStore(store, RulePolicy(trusted_minds=tuple(trusted))),
        writer=lambda gradient: critic.rule(gradient, settings().minds.trusted_rule_writers),
        verify=replayer.verify,
        rehearse=replayer.rehearse,
        cases=lambda: min(2, settings().gate.replay_tasks),
    )
    return LearningEngine(
        EngineDependencies(
            store=store,
            prompts=prompts,
            rule_learner=rule_learner,
            critic=critic,
            scorer=ChecksFirst(ask, judge=lambda: settings().minds.judge),
            entry=SCHEDULER,
            settings=settings,
            perform=replayer.perform,
            alert=plan.alert,
        )
    )
