"""The whole error tree of HAL9, drawn; the classes stand in one module per room.

Every error is a keyword-only dataclass: its fields are the facts, `message()` builds the
sentence from them (what, where, what to do), so callers may also read the facts.
A room's errors stand in the module of its name (`hal9.errors.minds`) and are imported from there, so that
raising one loads no other room's; errors survive pickling.

    Hal9Error
    ├── ConfigError            a file or setting of the user's is wrong
    ├── DatabaseError          a SQLite file of ours cannot be used
    ├── SignalError            a message is not acceptable (becomes a dead letter)
    ├── BusError               the broker or the connection to it
    ├── MindError              a language model or its provider
    ├── MemoryStoreError       what the cluster has learned
    ├── WorkbenchError         files and commands of a task
    ├── PromptgramError        a prompt program or an edit to it
    ├── LimitError             a budget or safety limit said no
    ├── ApiError               the HTTP interface, its clients and tokens
    ├── ClusterError           daemon, scheduler, registry
    ├── LearningError          gradients, gate, ledger
    ├── RipmapError            repository ranking
    ├── PassingError           numeric message passing
    ├── BeliefError            the promptgram population
    ├── TrainerError           training the ranker
    ├── TuningError            tuning a neuron's prompt on one's own tasks
    └── HolographError         causal discovery
"""
