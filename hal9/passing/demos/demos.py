"""One small, seeded example per instance: figures to print, and a picture to draw."""

from collections.abc import Callable

import numpy as np

from hal9.passing.demos.pictures import Axes, Demo, image, lines
from hal9.passing.graph import Graph
from hal9.passing.instances.attention import attention, edge_scores
from hal9.passing.instances.bioelectric import GapJunctions, turing_pattern
from hal9.passing.instances.gaussian import GaussianGraph
from hal9.passing.instances.pagerank import personalized_pagerank
from hal9.passing.instances.predictive import PredictiveCoding
from hal9.passing.instances.relevance import hierarchical_attention, relevance_gate
from hal9.passing.loopy.loopy import Loopy
from hal9.passing.models.factor_graph import FactorGraph
from hal9.passing.propagate import propagate
from hal9.passing.result import Array

__all__ = ["DEMOS"]


def graph_network() -> Demo:
    """Two labels spread over a graph of two interleaved half-moons."""
    rng = np.random.default_rng(0)
    angle = rng.random(400) * np.pi
    upper = np.stack([np.cos(angle[:200]), np.sin(angle[:200])], 1)
    lower = np.stack([1 - np.cos(angle[200:]), 0.4 - np.sin(angle[200:])], 1)
    points = np.concatenate([upper, lower]) + 0.07 * rng.normal(size=(400, 2))
    truth = np.repeat([0, 1], 200)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    nearest = np.argsort(distance, axis=1)[:, 1:7]
    graph = Graph.undirected(np.repeat(np.arange(400), 6), nearest.ravel(), 400)
    known = np.zeros((400, 2))
    seeds = [int(np.argmax(points[:200, 1])), 200 + int(np.argmin(points[200:, 1]))]
    known[seeds, [0, 1]] = 1.0

    def clamp(_: Array, received: Array) -> Array:
        spread = 0.98 * received
        spread[seeds] = known[seeds]
        return spread

    found = propagate(graph, known, aggregate="mean", update=clamp, schedule="parallel", tol=1e-6)
    right = float((found.state.argmax(axis=1) == truth).mean())

    def scatter(colour: Array) -> Callable[[Axes], None]:
        def draw(axes: Axes) -> None:
            axes.scatter(*points.T, c=colour, s=12, cmap="coolwarm", vmin=-1, vmax=1)

        return draw

    return Demo(
        lines=[
            f"{graph}: mean of neighbours, two labelled nodes clamped",
            f"converged={found.converged} after {found.iterations} rounds; labels right: {right:.1%}",
        ],
        panels={
            "two labels": scatter(known[:, 1] - known[:, 0]),
            "after passing": scatter(np.sign(found.state[:, 1] - found.state[:, 0])),
            "largest change per round": lines(
                {"residual": (np.arange(found.iterations), found.residuals)}, "round", "change", log="y"
            ),
        },
    )


def belief_propagation() -> Demo:
    """A noisy black-and-white picture and what its pixels agree on."""
    side = 64
    y, x = np.mgrid[:side, :side] / side - 0.5
    eyes = np.hypot(np.abs(x) - 0.12, y + 0.1) < 0.07
    mouth = (np.abs(np.hypot(x, y - 0.02) - 0.22) < 0.03) & (y > 0.08)
    clean = (np.hypot(x, y) < 0.36) & ~eyes & ~mouth
    rng = np.random.default_rng(1)
    noisy = clean ^ (rng.random(clean.shape) < 0.2)
    grid = Graph.grid(side, side)
    once = grid.src < grid.dst
    fg = FactorGraph([2] * side * side)
    trust = np.log(0.8 / 0.2)
    fg.add_many(np.arange(side * side)[:, None], np.stack([~noisy.ravel(), noisy.ravel()], 1) * trust)
    fg.add_many(np.stack([grid.src[once], grid.dst[once]], 1), 0.9 * np.eye(2))
    found = fg.infer(method="bp", loopy=Loopy(tol=1e-6))
    share = found.marginals.stack()[:, 1].reshape(side, side)
    before, after = float((noisy != clean).mean()), float(((share > 0.5) != clean).mean())
    return Demo(
        lines=[
            f"{found}",
            f"wrong pixels: {before:.1%} before, {after:.1%} after; Bethe log Z {found.log_z:.1f}",
        ],
        panels={
            "20% of the pixels flipped": image(noisy.astype(float), "gray_r"),
            "P(black)": image(share, "gray_r", span=(0, 1)),
            "largest message change": lines(
                {"residual": (np.arange(found.iterations), found.residuals)}, "round", "change", log="y"
            ),
        },
    )


def exact_and_loopy() -> Demo:
    """The same spin glass by junction tree, belief propagation and tree-reweighted passing."""
    side, rng = 8, np.random.default_rng(2)
    grid = Graph.grid(side, side)
    once = grid.src < grid.dst
    pairs = np.stack([grid.src[once], grid.dst[once]], 1)
    spins = np.array([-1.0, 1.0])
    fg = FactorGraph([2] * side * side)
    fg.add_many(np.arange(side * side)[:, None], 0.3 * rng.normal(size=(side * side, 1)) * spins)
    fg.add_many(pairs, 0.7 * rng.normal(size=(len(pairs), 1, 1)) * np.outer(spins, spins))
    found = {m: fg.infer(method=m, on_failure="ignore") for m in ("exact", "bp", "trw")}
    true = found["exact"].marginals.stack()[:, 1]

    def scatter(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color="0.7")
        for name in ("bp", "trw"):
            axes.scatter(true, found[name].marginals.stack()[:, 1], s=14, label=name)
        axes.set_xlabel("exact P(up)")
        axes.set_ylabel("approximate P(up)")
        axes.legend(fontsize=8)

    report = []
    for name, result in found.items():
        gap = float(np.abs(result.marginals.stack()[:, 1] - true).max())
        report.append(
            f"{name:6} converged={result.converged} log Z = {result.log_z:8.4f}  largest error {gap:.4f}"
        )
    report.append("trw's log Z is an upper bound; its marginals lean towards 1/2")
    residuals = {n: (np.arange(found[n].iterations), found[n].residuals) for n in ("bp", "trw")}
    return Demo(
        lines=report,
        panels={
            "marginals": scatter,
            "largest message change": lines(residuals, "round", "change", log="y"),
        },
    )


def gaussian() -> Demo:
    """A membrane held at its rim with two weights on it: a linear system solved by messages."""
    side = 40
    grid = Graph.grid(side, side)
    from scipy.sparse import diags_array  # noqa: PLC0415 - importing the room must stay cheap

    matrix = diags_array(np.full(side * side, 4.05)) - grid.matrix("ones")
    load = np.zeros((side, side))
    load[12, 12], load[28, 24] = 1.0, -0.7
    found = GaussianGraph(matrix, load.ravel()).solve()
    return Demo(
        lines=[
            f"converged={found.converged} in {found.iterations} rounds; largest |A x - b|: {found.error:.1e}",
            f"variances are exact: {found.exact_variance} (loops bias them; means are exact)",
        ],
        panels={
            "mean": image(found.mean.reshape(side, side), "RdBu_r"),
            "variance (loopy)": image(found.variance.reshape(side, side), "viridis"),
            "largest message change": lines(
                {"residual": (np.arange(found.iterations), found.residuals)}, "round", "change", log="y"
            ),
        },
    )


def predictive() -> Demo:
    """Energy while a hierarchy relaxes, and when its gradients are those of backpropagation."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 10)), rng.normal(size=(16, 4))
    pc = PredictiveCoding.random([10, 20, 20, 4], seed=1)
    relaxed = pc.relax(x, y, steps=200, rate=0.2)
    fixed = pc.relax(x, y, steps=3000, rate=0.5, tol=1e-13, fixed_prediction=True)
    true = [w for w, _ in pc.gradients(fixed, fixed_prediction=True)]

    def gap(grads: list[Array]) -> float:
        return max(float(np.abs(g - t).max() / np.abs(t).max()) for g, t in zip(grads, true, strict=True))

    small = [1.0, 1e-1, 1e-2, 1e-3, 1e-4]
    soft, nudged = [], []
    out = pc.forward(x)[-1]
    for beta in small:
        weak = PredictiveCoding(pc.weights, pc.biases, precision=[1.0, 1.0, beta])
        settled = weak.relax(x, y, steps=4000, rate=0.3, tol=1e-11)
        soft.append(gap([w / beta for w, _ in weak.gradients(settled)]))
        pulled = pc.relax(x, out + beta * (y - out), steps=4000, rate=0.3, tol=1e-13, on_failure="ignore")
        nudged.append(gap([w / beta for w, _ in pc.gradients(pulled)]))
    return Demo(
        lines=[
            f"energy {relaxed.energy[0]:.3f} -> {relaxed.energy[-1]:.3f} in {len(relaxed.gradient)} steps",
            f"gradient error against backprop, output precision 1e-4: {soft[-1]:.1e}",
            f"gradient error against backprop, target nudged by 1e-4: {nudged[-1]:.2f} (does not hold)",
        ],
        panels={
            "energy while relaxing": lines(
                {"energy": (np.arange(len(relaxed.energy)), relaxed.energy)}, "step", "energy", log="y"
            ),
            "distance to backprop's gradients": lines(
                {"output precision": (small, soft), "nudged target": (small, nudged)},
                "beta",
                "relative error",
                log="xy",
            ),
        },
    )


def bioelectric() -> Demo:
    """A tissue between clamped cells, and stripes and spots that grow from noise."""
    side = 48
    tissue = Graph.grid(side, side)
    rim = {r * side: 1.0 for r in range(side)} | {r * side + side - 1: -1.0 for r in range(side)}
    cells = GapJunctions(tissue, leak=0.01, reversal=0.0, clamp=rim)
    rest = cells.steady_state().state
    start = np.random.default_rng(0).normal(size=tissue.n)
    drift = abs(float(GapJunctions(tissue).run(start, 1.0, 100).state.sum() - start.sum()))
    net = np.abs((cells.flow(rest) - 0.01 * rest).reshape(side, side)[:, 1:-1]).max()
    torus = Graph.grid(56, 56, periodic=True)
    stripes, _ = turing_pattern(torus, seed=0, steps=500, dt=0.3)
    spots, _ = turing_pattern(torus, seed=0, steps=500, dt=0.3, bias=0.15)
    return Demo(
        lines=[
            f"charge lost by 100 implicit steps without leak: {drift:.1e}",
            f"steady state: largest net current into a free cell {net:.1e}",
            f"contrast grown from noise of 0.05: stripes {stripes.std():.2f}, spots {spots.std():.2f}",
        ],
        panels={
            "steady state, clamped sides": image(rest.reshape(side, side), "coolwarm"),
            "stripes (bias 0)": image(stripes.reshape(56, 56), "coolwarm"),
            "spots (bias 0.15)": image(spots.reshape(56, 56), "coolwarm"),
        },
    )


def attending() -> Demo:
    """Attention on the complete graph and on its most relevant edges."""
    rng = np.random.default_rng(0)
    n, d = 96, 16
    topic = np.repeat(rng.normal(size=(6, d)) * 1.5, n // 6, axis=0)
    q, k = topic + 0.5 * rng.normal(size=(2, n, d))
    v = rng.normal(size=(n, 4))
    complete = Graph.complete(n)
    scores = edge_scores(complete, q, k)
    dense = attention(q, k, v)
    share = np.exp(scores).reshape(n, n)
    share /= share.sum(axis=1, keepdims=True)
    kept, errors = [1, 2, 4, 8, 16, 32, 64, 96], []
    for count in kept:
        gated = complete.keep(relevance_gate(complete, scores, k=count))
        errors.append(float(np.abs(attention(q, k, v, edges=gated) - dense).mean()))
    mask = relevance_gate(complete, scores, k=8).reshape(n, n)
    same = float(np.abs(attention(q, k, v, edges=complete) - dense).max())
    return Demo(
        lines=[
            f"edges of the complete graph against the dense product: largest difference {same:.1e}",
            f"8 of {n} edges per query: mean error {errors[3]:.3f}; 32: {errors[5]:.3f}",
        ],
        panels={
            "attention weights": image(share, "viridis"),
            "the 8 best edges per query": image(np.where(mask, share, 0.0), "viridis"),
            "error by edges kept": lines(
                {"mean error": (kept, np.maximum(errors, 1e-17))}, "edges per query", "error", log="x"
            ),
        },
    )


def relevance() -> Demo:
    """Why gates rank instead of comparing with a threshold; and a hierarchy that reads few chunks."""
    rng = np.random.default_rng(0)
    sizes, fixed, ranked = [8, 16, 32, 64, 128, 256], [], []
    for n in sizes:
        q, k = rng.normal(size=(2, n, 16)) / 4
        graph = Graph.complete(n, self_loops=False)
        share = np.exp(edge_scores(graph, q, k)).reshape(n, n - 1)
        share /= share.sum(axis=1, keepdims=True)
        fixed.append(float((share > 0.1).sum(axis=1).mean()))
        ranked.append(float(relevance_gate(graph, share.ravel(), k=4).sum() / n))
    n, chunk = 512, 32
    centre = np.repeat(rng.normal(size=(n // chunk, 24)) * 1.2, chunk, axis=0)
    q, k = centre + 0.4 * rng.normal(size=(2, n, 24))
    v = rng.normal(size=(n, 4))
    dense = attention(q, k, v)
    keep = [1, 2, 4, 8, 12]
    errors = [
        float(np.abs(hierarchical_attention(q, k, v, chunk=chunk, keep=c) - dense).mean()) for c in keep
    ]
    return Demo(
        lines=[
            f"edges per receiver of {sizes[-1]}: threshold 0.1 keeps {fixed[-1]:.2f}, top-4 {ranked[-1]:.2f}",
            f"{n} tokens in chunks of {chunk}: reading 1 errs by {errors[0]:.4f}, 12 by {errors[-1]:.4f}",
        ],
        panels={
            "edges kept per receiver": lines(
                {"threshold 0.1": (sizes, fixed), "top 4": (sizes, ranked)}, "senders", "edges kept", log="x"
            ),
            "chunk gate: error by chunks read": lines(
                {"mean error": (keep, np.maximum(errors, 1e-17))},
                "chunks per chunk of queries",
                "error",
                log="xy",
            ),
        },
    )


def pagerank() -> Demo:
    """A walk that keeps returning to two cells of a maze-like grid."""
    side, rng = 40, np.random.default_rng(4)
    grid = Graph.grid(side, side)
    once = np.flatnonzero(grid.src < grid.dst)
    width = np.where(rng.random(len(once)) < 0.35, 0.02, 1.0)
    graph = Graph.undirected(grid.src[once], grid.dst[once], grid.n, weight=width)
    restart = {side * 8 + 8: 1.0, side * 30 + 26: 1.0}
    found = personalized_pagerank(graph, restart, alpha=0.98)
    bounds = [1e-2, 1e-4, 1e-6, 1e-8, 1e-10]
    exact = personalized_pagerank(graph, restart, alpha=0.98, method="direct").scores
    rough = [personalized_pagerank(graph, restart, alpha=0.98, tol=b) for b in bounds]
    errors = [float(np.abs(r.scores - exact).sum()) for r in rough]
    return Demo(
        lines=[
            f"converged={found.converged} in {found.iterations} products, bound {found.error_bound:.1e}",
            f"true L1 error {np.abs(found.scores - exact).sum():.1e}",
        ],
        panels={
            "log10 of the score": image(np.log10(found.scores).reshape(side, side), "magma"),
            "bound asked for and true error": lines(
                {"true error": (bounds, errors), "bound": (bounds, bounds)}, "tolerance", "L1 error", log="xy"
            ),
        },
    )


DEMOS: dict[str, Callable[[], Demo]] = {
    "gnn": graph_network,
    "bp": belief_propagation,
    "exact": exact_and_loopy,
    "gaussian": gaussian,
    "predictive": predictive,
    "bioelectric": bioelectric,
    "attention": attending,
    "relevance": relevance,
    "pagerank": pagerank,
}
