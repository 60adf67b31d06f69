"""The rules in the report: their comparisons, the knobs that set them, and the clips near a threshold."""

import pytest

from pipeline.history.find import RowLocation
from pipeline.history.run_history import StepHistory
from pipeline.report.rules import Term, borderline, parse_terms, rules_of
from pipeline.report.sample import DROPPED, KEPT, Outcome, Sample

NOISE = (0.5, 1.7, 1.9, 3.0, None)
LUMA = (0.9, 0.9, 0.9, 0.2, 0.9)


def step(name: str, kind: str, **made_by: str) -> StepHistory:
    return StepHistory(name=name, kind=kind, folder=name, base="shots", root="shots", made_by=made_by)


def sample() -> Sample:
    kept, noisy = Outcome(KEPT), Outcome(DROPPED, "noisy", "noise=…")
    found = Sample(step("shots", "children"), 5)
    found.rows = [RowLocation("shots", 0, str(i)) for i in range(5)]
    found.values = {"noise": list(NOISE), "luma": list(LUMA), "kind": ["shot"] * 5, "clip": list("aaabc")}
    types = {"noise": "double", "luma": "double", "kind": "string", "clip": "string"}
    found.columns = {name: {"name": name, "type": kind} for name, kind in types.items()}
    found.outcomes = [kept, kept, noisy, noisy, Outcome("rejected", "noisy", "a value is missing")]
    return found


@pytest.mark.parametrize(
    ("rule", "terms"),
    [
        ("noise < 1.8", [("noise", "<", 1.8)]),
        ("1.8 > noise", [("noise", "<", 1.8)]),
        ("luma >= -1 and noise < 2", [("luma", ">=", -1.0), ("noise", "<", 2.0)]),
        ("0.1 <= luma < 0.9", [("luma", ">=", 0.1), ("luma", "<", 0.9)]),
        ("kind == 'shot'", []),
        ("kind < 'shot'", []),
        ("noise < luma", []),
        ("noise < 1.8 or luma > 0.5", []),
        ("noise + 1 < 2", []),
        ("missing < 2", []),
    ],
)
def test_a_conjunction_of_comparisons_has_terms(rule: str, terms: list[tuple[str, str, float]]) -> None:
    assert parse_terms(rule, sample()) == tuple(Term(*term) for term in terms)


def test_a_rule_answers_for_every_row() -> None:
    rules = rules_of(
        sample(),
        [
            step("noisy", "drops", keep="noise < 1.8", because="noisy"),
            step("either", "drops", keep="noise < 1.8 or luma > 0.5", because="either"),
            step("cameras", "drops", keep="noise < 1.8", because="noisy", across="clip", when="all"),
            step("views", "drops", keep="noise < 1.8", because="noisy", across="clip", when="any"),
        ],
        {},
    )
    assert rules[0].answers == (True, True, False, False, None)
    assert rules[1].answers == (True, True, True, False, True)
    assert rules[2].groups == (0, 0, 0, 1, 2)
    assert rules[2].answers == (False, False, False, False, None)  # one row of the group is noisy
    assert rules[3].answers == (True, True, True, False, None)
    assert rules[2].terms == rules[3].terms == rules[0].terms


@pytest.mark.parametrize(
    ("knobs", "knob"),
    [({"max_noise": "1.8"}, "max_noise"), ({"max_noise": "2"}, ""), ({"min_noise": "1.8"}, ""), ({}, "")],
)
def test_the_knob_of_a_threshold_has_its_name_and_value(knobs: dict[str, str], knob: str) -> None:
    [rule] = rules_of(sample(), [step("noisy", "drops", keep="noise < 1.8", because="noisy")], knobs)
    assert rule.terms == (Term("noise", "<", 1.8, knob),)


def test_borderline_rows_are_near_the_threshold_that_decides() -> None:
    steps = [
        step("noisy", "drops", keep="noise < 1.8", because="noisy"),
        step("dark", "drops", keep="luma > 0.21", because="dark"),
    ]
    found = sample()
    assert borderline(found, rules_of(found, steps, {})) == [None, 0, 0, None, None]
    found.values["luma"][2] = 0.1  # another rule would drop it too
    assert borderline(found, rules_of(found, steps, {}))[2] is None
