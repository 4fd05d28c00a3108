"""`holograph fit`: any table, one command."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from hal9.errors.holograph import KnowledgeContradictory, NotFitted, TableInvalid, TooFewRows, UnknownVariable
from hal9.errors.minds import UnknownMind
from hal9.holograph.__main__ import main
from hal9.holograph.data.edge_probabilities import EdgeLeads, probabilities
from hal9.holograph.data.lead_curves import CURVES, JOINED_AT, TURNED_AT
from hal9.holograph.drawing import dot, svg
from hal9.holograph.fit.columns import impute, prepare
from hal9.holograph.fit.estimator import CausalGraph
from hal9.holograph.fit.knowledge import Knowledge
from hal9.holograph.fit.listed import read_listed
from hal9.holograph.fit.reading import read_raw
from hal9.holograph.fit.report import as_markdown, as_text


def patients(rows: int = 300) -> dict[str, list[Any]]:
    """Age and smoking raise the pressure, pressure and region the cost; the rest is of no use."""
    rng = np.random.default_rng(1)
    age, smokes = rng.normal(50, 12, rows), rng.random(rows) < 0.4
    region = rng.choice(["north", "south", "west"], rows)
    pressure = 80 + 0.8 * age + 9 * smokes + rng.normal(0, 6, rows)
    cost = 200 + 3 * pressure + 70 * (region == "south") + rng.normal(0, 20, rows)
    return {
        "id": list(range(1, rows + 1)),
        "day": [f"2026-01-{k % 28 + 1:02d}" for k in range(rows)],
        "region": region.tolist(),
        "smokes": ["yes" if s else "no" for s in smokes],
        "age": np.round(age, 2).tolist(),
        "pressure": [None if k % 60 == 7 else round(float(p), 2) for k, p in enumerate(pressure)],
        "cost": np.round(cost, 2).tolist(),
        "gross": np.round(1.19 * np.round(cost, 2), 2).tolist(),
        "currency": ["EUR"] * rows,
        "name": [f"person {k}" for k in range(rows)],
    }


def write(path: Path, table: dict[str, list[Any]], separator: str = ",", decimal: str = ".") -> Path:
    lines = [separator.join(table)]
    for row in zip(*table.values(), strict=True):
        cells = [
            "" if v is None else str(v).replace(".", decimal) if isinstance(v, float) else str(v) for v in row
        ]
        lines.append(separator.join(cells))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(("separator", "decimal"), [(",", "."), (";", ","), ("\t", "."), ("|", ".")])
def test_separators_and_decimal_commas_are_found(tmp_path: Path, separator: str, decimal: str) -> None:
    found = read_raw(write(tmp_path / "t.csv", patients(30), separator, decimal))
    plain = read_raw(patients(30))
    assert list(found) == list(plain)
    assert found["age"] == pytest.approx(plain["age"])
    assert found["pressure"][7] is None


def test_columns_are_what_they_look_like_and_useless_ones_are_named() -> None:
    prepared = prepare(read_raw(patients()))
    assert {c.name: c.kind for c in prepared.columns} == {
        "region": "category", "smokes": "category", "age": "number", "pressure": "number", "cost": "number",
    }  # fmt: skip
    assert [c.levels for c in prepared.columns[:2]] == [("north", "south", "west"), ("no", "yes")]
    assert prepared.left_out["id"] == "numbers the rows"
    assert prepared.left_out["day"] == "is a date or a time"
    assert prepared.left_out["gross"] == "says the same as cost"
    assert prepared.left_out["currency"] == "is the same in every row"
    assert prepared.left_out["name"].startswith("is an id")
    assert prepared.dropped == 5
    assert prepared.table.categories() == (True, True, False, False, False)
    nearly = {**patients(), "rare": [1.5] * 299 + [2.5]}
    assert prepare(read_raw(nearly)).left_out["rare"] == "is nearly constant (1 rows differ)"
    age = np.array(patients()["age"])
    total = {"a": age.tolist(), "b": np.sin(age).tolist(), "sum": (0.3 * age + 5.0 * np.sin(age)).tolist()}
    assert prepare(read_raw(total)).left_out["sum"] == "is an exact sum of a, b"


def test_copies_in_other_words_units_and_scales_are_named() -> None:
    rng = np.random.default_rng(3)
    region = rng.choice(["Norden", "Süden", "Westen", "Osten"], 300)
    code = {"Norden": "D", "Süden": "A", "Westen": "C", "Osten": "B"}
    income, celsius, shares = (
        np.exp(rng.normal(10, 0.5, 300)),
        rng.normal(20, 5, 300),
        rng.dirichlet([2, 3, 4], 300),
    )
    prepared = prepare(
        read_raw(
            {
                "region": region, "code": [code[r] for r in region], "half": [r in ("Süden", "Osten") for r in region],
                "income": income.round(2), "log": np.log(income), "celsius": celsius.round(1),
                "fahrenheit": (1.8 * celsius + 32).round(1), "near": (celsius + rng.normal(0, 0.5, 300)).round(1),
                "a": (100 * shares[:, 0]).round(1), "b": (100 * shares[:, 1]).round(1), "c": (100 * shares[:, 2]).round(1),
                "customer_id": rng.choice(10**6, 300, replace=False), "number": rng.permutation(300) + 1000,
                "unix_time": 1_700_000_000 + np.cumsum(rng.integers(1, 99, 300)),
            }
        )
    )  # fmt: skip
    assert prepared.left_out == {
        "code": "says the same as region", "log": "rises and falls exactly with income",
        "fahrenheit": "says the same as celsius", "c": "is an exact sum of a, b",
        "customer_id": "is an id (every row has its own)", "number": "numbers the rows",
        "unix_time": "is a date or a time",
    }  # fmt: skip
    assert any("region fixes half" in note for note in prepared.notes)


def test_what_is_no_number_is_no_number() -> None:
    for odd in ("1_000", "0x10", "inf", "1,2,3"):
        table = {"a": ["1.5", odd, "2.5", "3.5"] * 10, "b": [float(k) for k in range(40)]}
        assert not isinstance(read_raw(table)["a"][1], float)


def test_a_table_of_three_rows_is_too_short_and_its_columns_are_not_blamed() -> None:
    short: dict[str, list[Any]] = {
        "size": [1.5, 1.7, 2.5],
        "weight": [3.0, 3.5, 4.9],
        "town": ["a", "b", "a"],
    }
    with pytest.raises(TooFewRows, match="has 3 rows"):
        prepare(read_raw(short))


def test_missing_values_are_dropped_filled_in_or_refused() -> None:
    raw = read_raw(patients())
    filled = prepare(raw, missing="impute")
    assert (filled.dropped, filled.imputed, filled.table.rows) == (0, 5, 300)
    place = filled.table.names.index("pressure")
    truth = 80 + 0.8 * np.array(raw["age"]) + 9 * (np.array(raw["smokes"]) == "yes")
    holes = filled.holes[:, place]
    assert np.abs(filled.table.values[holes, place] - truth[holes]).mean() < 15
    with pytest.raises(TableInvalid, match="5 rows lack a value"):
        prepare(raw, missing="refuse")
    again = impute(np.where(filled.holes, np.nan, filled.table.values), np.random.default_rng(9))
    assert (again[~filled.holes] == filled.table.values[~filled.holes]).all()
    assert (again[filled.holes] != filled.table.values[filled.holes]).any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("a,b\n", "it has no rows"),
        ("a\n1\n2\n", "a single column"),
        ("a,a\n1,2\n", "appears twice"),
        ("a,b\n1,2\n1,2,3\n", "3 cells under 2 columns"),
        ("1,2\n3,4\n", "numbers, not names"),
        ("a,b\n1,\x00\n", "no text"),
        ("a,b\n" + 12 * "1,1\n", "fewer than two columns can be used"),
    ],
)
def test_what_is_no_table_is_refused_in_plain_words(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(TableInvalid, match=message):
        prepare(read_raw(tmp_path / "t.csv"))


def test_the_graph_of_the_patients_with_knowledge_weights_and_stability() -> None:
    known = Knowledge(tiers=[("age", "smokes", "region"), ("pressure",), ("cost",)])
    model = CausalGraph(knowledge=known, bootstrap=3).fit(patients())
    found = {(e.cause, e.effect): e for e in model.edges_}
    assert set(found) == {
        ("age", "pressure"),
        ("smokes", "pressure"),
        ("pressure", "cost"),
        ("region", "cost"),
    }
    assert all(e.kind == "->" for e in model.edges_)
    assert found["age", "pressure"].weight == pytest.approx(0.8, abs=0.1)
    spread = np.std(patients()["age"]) / np.std([p for p in patients()["pressure"] if p is not None])
    assert found["age", "pressure"].standardised == pytest.approx(0.8 * spread, abs=0.1)
    assert found["region", "cost"].weight is None
    assert found["pressure", "cost"].stability == 1.0
    assert model.adjacency_.sum() == 4
    assert list(model.feature_names_in_) == ["region", "smokes", "age", "pressure", "cost"]
    said = as_text(model, "patients")
    assert "pressure → cost" in said
    assert "5 with missing values dropped" in said
    assert "gross: set aside, says the same as cost" in as_markdown(model, "patients", "g.svg")


def test_knowledge_is_kept_and_contradictions_are_refused() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=300)
    table = {"a": a, "b": a + 0.7 * rng.normal(size=300), "c": rng.normal(size=300)}
    free = CausalGraph().fit(table).edges_
    assert [(e.kind, {e.cause, e.effect}) for e in free] == [("--", {"a", "b"})]
    ordered = CausalGraph(knowledge=Knowledge(tiers=[("b",), ("a",)])).fit(table).edges_
    assert [(e.cause, e.effect, e.kind) for e in ordered] == [("b", "a", "->")]
    apart = Knowledge(forbid=[("a", "b"), ("b", "a")], require=[("c", "a")])
    assert [(e.cause, e.effect, e.fixed) for e in CausalGraph(knowledge=apart).fit(table).edges_] == [
        ("c", "a", True)
    ]
    with pytest.raises(KnowledgeContradictory, match="required and ruled out"):
        CausalGraph(knowledge=Knowledge(forbid=[("a", "b")], require=[("a", "b")])).fit(table)
    with pytest.raises(KnowledgeContradictory, match="cycle"):
        CausalGraph(knowledge=Knowledge(require=[("a", "b"), ("b", "a")])).fit(table)
    with pytest.raises(UnknownVariable, match="no variable 'z'"):
        CausalGraph(knowledge=Knowledge(require=[("a", "z")])).fit(table)


def test_settings_follow_scikit_learn() -> None:
    model = CausalGraph(bootstrap=2)
    assert model.get_params()["bootstrap"] == 2
    assert CausalGraph(**model.set_params(bootstrap=0).get_params()).bootstrap == 0
    with pytest.raises(TypeError, match="no setting 'speed'"):
        model.set_params(speed=1)
    with pytest.raises(NotFitted):
        model.to_dot()


def test_undecided_edges_are_drawn_without_arrows() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=300)
    drawn = CausalGraph().fit({"a": a, "b": a + 0.7 * rng.normal(size=300)}).drawn("two")
    assert "dir=none" in dot(drawn)
    assert "marker-end" not in svg(drawn).partition("</defs>")[2]


def test_a_lead_of_nothing_is_no_direction_and_more_lead_is_more_probable() -> None:
    for family in CURVES:
        lead = np.array([[0.0, 50.0], [50.0, 0.0]])
        none = EdgeLeads(lead, np.zeros((2, 2)), family)
        joined, directed = probabilities(none)
        assert directed[0, 1] == pytest.approx(0.5)
        assert joined[0, 1] > 0.9
        more = EdgeLeads(lead, np.array([[0.0, 30.0], [-30.0, 0.0]]), family)
        assert probabilities(more)[1][0, 1] > 0.75
        assert probabilities(more)[1].sum() == pytest.approx(2.0)


def test_curves_rise_and_start_level() -> None:
    for edge, direction in CURVES.values():
        assert len(edge) == len(JOINED_AT)
        assert len(direction) == len(TURNED_AT)
        assert list(edge) == sorted(edge)
        assert list(direction) == sorted(direction)
        assert direction[0] == 0.0


def test_the_command(tmp_path: Path) -> None:
    table = write(tmp_path / "patients.csv", patients(), ";")
    picture, report = tmp_path / "g.svg", tmp_path / "report.md"
    run = CliRunner().invoke(
        main,
        ["fit", str(table), "--svg", str(picture), "--report", str(report), "--tiers", "age,smokes;pressure"],
    )
    assert run.exit_code == 0, run.output
    assert "pressure → cost" in run.stdout
    assert "id: set aside, numbers the rows" in run.stderr
    assert "<svg" in picture.read_text()
    assert "![graph](g.svg)" in report.read_text()
    said = CliRunner().invoke(main, ["fit", str(table), "--json", "--exclude", "cost,gross"])
    found = json.loads(said.stdout)
    assert found["dropped"] == 5
    assert {"kind", "probability", "weight", "standardised_weight"} <= set(found["edges"][0])
    bad = CliRunner().invoke(main, ["fit", str(table), "--forbid", "age>cost"])
    assert bad.exit_code == 2
    assert "CAUSE->EFFECT" in bad.output


def test_discovery_from_a_table_alone_opens_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("a model was opened")

    monkeypatch.setattr("hal9.minds.open_mind", refuse)
    rng = np.random.default_rng(0)
    a = rng.normal(size=200)
    write(tmp_path / "t.csv", {"a": a.tolist(), "b": (5 * a + rng.normal(size=200) * 4).tolist()})
    (tmp_path / "v.yaml").write_text("domain: two\nvariables:\n  - name: a\n  - name: b\n")
    run = CliRunner().invoke(
        main,
        ["discover", "--variables", str(tmp_path / "v.yaml"), "--data", str(tmp_path / "t.csv"), "--budget-queries",
         "0", "--store", str(tmp_path / "runs.db")],
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    assert " — " in run.stdout or " -> " in run.stdout
    assert "per unit" in run.stdout


def test_discovery_says_whom_it_asks_when_nobody_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(spec: str, **_: Any) -> Any:
        raise UnknownMind(spec=spec, why="not in this test")

    monkeypatch.setattr("hal9.minds.open_mind", refuse)
    monkeypatch.setattr("hal9.minds.default_spec", lambda: "local")
    (tmp_path / "v.yaml").write_text("domain: two\nvariables:\n  - name: a\n  - name: b\n")
    run = CliRunner().invoke(
        main, ["discover", "--variables", str(tmp_path / "v.yaml"), "--store", str(tmp_path / "runs.db")]
    )
    assert "no --mind was named: local is asked" in run.stderr
    assert "name a strong one with --mind" in run.stderr


def test_discovery_reads_the_tables_that_fit_reads(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(size=300)
    b = np.where(np.arange(300) >= 200, rng.normal(size=300), a + 0.5 * rng.normal(size=300))
    columns: dict[str, list[Any]] = {
        "b": b.tolist(),
        "kind": ["yes" if v > 0 else "no" for v in a + rng.normal(size=300)],
        "a": a.tolist(),
        "day": ["2024-01-01"] * 300,
        "intervened": [""] * 200 + ["b"] * 100,
    }
    columns["kind"][3] = ""
    write(tmp_path / "t.csv", columns)
    table, notes = read_listed(tmp_path / "t.csv", ("a", "b", "kind"))
    assert table.names == ("a", "b", "kind")
    assert table.categories() == (False, False, True)
    assert table.rows == 299
    assert table.targets.tolist() == [-1] * 199 + [1] * 100
    assert notes == ["not listed as variables, so not used: day", "1 rows lack a value and are left out"]
    write(tmp_path / "sum.csv", {"a": a.tolist(), "b": b.tolist(), "c": (a + b).tolist()})
    with pytest.raises(TableInvalid, match="is an exact sum of a, b"):
        read_listed(tmp_path / "sum.csv", ("a", "b", "c"))
    columns["intervened"][250] = "z"
    write(tmp_path / "z.csv", columns)
    with pytest.raises(TableInvalid, match="252.*unknown 'z'"):
        read_listed(tmp_path / "z.csv", ("a", "b", "kind"))
    with pytest.raises(UnknownVariable):
        read_listed(tmp_path / "t.csv", ("a", "absent"))


def test_the_python_of_the_docs_runs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "holograph.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    (block,) = [block for block in blocks if "CausalGraph" in block]
    exec(compile(block, "docs/holograph.md", "exec"), {})


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        (["1,234.50", "12", "1,000,000"], ","),
        (["1.234,50", "12,00", "1.000.000,00"], ";"),
        (["$1,234.50", "$12", "$1,000,000"], ","),
        (["1 234.5", "12", "1 000 000"], "\t"),
        (["1'234.50", "12 €", "1'000'000"], ";"),
    ],
)
def test_numbers_as_people_write_them(tmp_path: Path, cells: list[str], separator: str) -> None:
    path = tmp_path / "t.csv"
    lines = [f'"{cells[k % 3]}"{separator}{k}' for k in range(30)]
    path.write_text("\n".join([f"sum{separator}n", *lines]), encoding="utf-8")
    assert read_raw(path)["sum"][:3] == [1234.5, 12.0, 1_000_000.0]


def test_a_comma_is_a_decimal_sign_where_it_does_not_separate(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a;b\n1,234;2\n0,500;3\n", encoding="utf-8")
    assert read_raw(path)["a"] == [1.234, 0.5]
    path.write_text('a,b\n"1,234",2\n"3,500",3\n', encoding="utf-8")
    assert read_raw(path)["a"] == [1234.0, 3500.0]


def test_a_few_words_among_numbers_are_missing_values_and_that_is_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=60).round(3)
    cells = ["unknown" if k % 9 == 0 else f"{number}" for k, number in enumerate(numbers)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,b", *(f"{a},{b}" for a, b in zip(cells, numbers[::-1], strict=True))]))
    raw = read_raw(path)
    assert raw["a"].count(None) == 7
    assert raw.notes == ("a holds numbers but for 'unknown' (7): taken as missing",)
    assert raw.notes[0] in prepare(raw).notes
    words = [["<1", ">2", "low", "high", "mid"][k % 5] if k % 4 == 0 else c for k, c in enumerate(cells)]
    path.write_text("\n".join(["a,b,c", *(f"{w},{n},{n * n}" for w, n in zip(words, numbers, strict=True))]))
    assert prepare(read_raw(path)).left_out["a"].startswith("holds numbers and words (<1, >2, high)")


def test_comments_old_line_ends_and_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = "\n".join(f"{k},{k * k}" for k in range(20))
    for start in ("# exported on Monday, by hand\n#\n", "sep=,\n", ""):
        path.write_text(f"{start}a b,c\n{rows}", encoding="utf-8")
        assert list(read_raw(path)) == ["a b", "c"]
    path.write_text(f"#a,c\n{rows}", encoding="utf-8")
    assert list(read_raw(path)) == ["#a", "c"]
    path.write_bytes(f'"a\nb",c\n{rows}'.replace("\n", "\r").encode())
    assert list(read_raw(path)) == ["a b", "c"]
    path.write_text(f"年齢,収入\n{rows}", encoding="shift_jis")
    assert list(read_raw(path, encoding="shift_jis")) == ["年齢", "収入"]
    assert "Windows-1252" in read_raw(path).notes[0]
    with pytest.raises(TableInvalid, match="cannot be read as utf-8"):
        read_raw(path, encoding="utf-8")
    path.write_text(f"# one\na,c\n{rows}\n7", encoding="utf-8")
    with pytest.raises(TableInvalid, match=":23: 1 cells under 2 columns"):
        read_raw(path)
    path.write_text(f"3.5,x\n{rows}", encoding="utf-8")
    assert read_raw(path).notes == ("the first line looks like data, not like names: 3.5, x",)


def test_values_that_were_filled_in_are_no_evidence() -> None:
    rng = np.random.default_rng(3)
    a = rng.normal(size=300)
    columns: dict[str, list[Any]] = {"a": a.tolist(), "b": (0.25 * a + rng.normal(size=300)).tolist()}
    whole = CausalGraph().fit(columns)
    columns["a"] = [None if k % 2 else value for k, value in enumerate(columns["a"])]
    filled = CausalGraph(missing="impute").fit(columns)
    assert filled.prepared_.table.worth == pytest.approx(0.5)
    assert filled.scorer_.table.effective == pytest.approx(150)
    assert whole.edges_[0].probability > max((e.probability for e in filled.edges_), default=0.0)
