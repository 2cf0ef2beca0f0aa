"""Trainings that last so many minutes."""

import json
import math
from dataclasses import replace

import pytest
from toy import CHANGES, toy, toy_store

from coarseparts.system.errors import DamagedRun, Failed
from coarseparts.training import plan
from coarseparts.training import settings as presets
from coarseparts.training.networks import resolve
from coarseparts.training.plan import Pace, planned, seconds_of_em, within
from coarseparts.training.settings import EPOCHS, settings
from coarseparts.training.task import Task

PACE = Pace(supervised=1.0, em=4.0, measured=2.0)


@pytest.fixture
def task(tmp_path):
    """8 part masks and 24 coarse images, with the default's epochs and batches of 8."""
    return Task.of(toy_store(tmp_path / "store"), resolve(settings(), "cpu"), part_limit=8)


@pytest.mark.parametrize("minutes", [4, 12, 20, 60, 300])
def test_what_is_planned_fits_into_the_minutes_and_fills_most_of_them(task, minutes):
    chosen = task.settings.model_copy(update=planned(task, minutes, lambda _: PACE))
    seconds = seconds_of_em(task, PACE, chosen)
    assert seconds <= 60 * minutes
    assert seconds > 0.6 * 60 * minutes
    assert chosen.em_epochs >= plan.STAGES


def test_more_minutes_are_more_epochs_of_every_stage_up_to_ten_times_the_settings(task):
    some, more, most = (planned(task, minutes, lambda _: PACE) for minutes in (60, 120, 1e6))
    assert all(some[key] < more[key] < most[key] for key in EPOCHS)
    assert most == {key: 10 * getattr(task.settings, key) for key in EPOCHS} | {"em_epoch_steps": 128}


def test_a_short_training_has_fewer_steps_an_epoch_rather_than_one_epoch(task):
    short = planned(task, 6, lambda _: PACE)
    assert short["em_epochs"] == plan.STAGES
    assert 3 <= short["em_epoch_steps"] < 128, "each coarse image is seen: 24 in batches of 8"


def test_less_than_an_epoch_of_every_stage_is_refused_with_the_least(task):
    with pytest.raises(Failed, match=r"--minutes 0.1: one epoch of every stage alone takes about \d+.\d minutes"):
        planned(task, 0.1, lambda _: PACE)


def test_few_minutes_show_smaller_images_rather_than_few_steps(task, monkeypatch):
    monkeypatch.setattr(presets, "LEAST_SHOWN", 16)

    def pace(shown: Task) -> Pace:
        return Pace(*(seconds * shown.settings.zoom**2 for seconds in PACE))

    short, longer, whole = (planned(task, minutes, pace) for minutes in (12, 60, 120))
    assert (short["zoom"], longer["zoom"], "zoom" in whole) == (0.5, 0.75, False)
    assert longer["em_epochs"] * longer["em_epoch_steps"] >= 128 * task.settings.em_epochs // 9
    seconds = seconds_of_em(
        task,
        pace(replace(task, settings=task.settings.model_copy(update=short))),
        task.settings.model_copy(update=short),
    )
    assert 0.6 * 60 * 12 < seconds <= 60 * 12
    fixed = replace(task, settings=task.settings.model_copy(update={"zoom": 0.9}))
    assert "zoom" not in planned(fixed, 8, pace), "a zoom that is asked for stays"


def test_images_are_not_reduced_below_64_px(tmp_path):
    store = toy_store(tmp_path / "store")
    chosen = resolve(settings(effort="quick"), "cpu")
    assert chosen.zoom == 0.5
    assert Task.of(store, chosen, part_limit=8).settings.zoom == 1
    assert [chosen.shown(size).zoom for size in (48, 64, 80, 128, 512)] == [1, 1, 0.8, 0.5, 0.5]
    assert settings(changes={"zoom": 2}).shown(32).zoom == 2


def test_asking_both_models_after_each_epoch_takes_its_time(tmp_path):
    store, chosen = toy_store(tmp_path / "store"), resolve(settings(), "cpu")
    alike = Task.of(store, chosen, part_limit=8)
    one_each = Task.of(store, chosen, part_limit=8, labels_each=1)
    kinds = len(one_each.styles)
    more = seconds_of_em(one_each, PACE) - seconds_of_em(alike, PACE)
    assert more == pytest.approx(chosen.em_epochs * PACE.measured * (1 + 2 * kinds))
    to_all = chosen.model_copy(update={"em": chosen.em.model_copy(update={"teach": "all"})})
    assert seconds_of_em(one_each, PACE, to_all) == pytest.approx(seconds_of_em(alike, PACE))


def test_without_coarse_images_there_is_no_em_to_plan(tmp_path):
    store = toy_store(tmp_path / "store")
    alone = Task.of(store, resolve(settings(), "cpu"))
    with pytest.raises(Failed, match=r"all training images have part masks; .* take --effort"):
        planned(alone, 5)
    assert math.isnan(seconds_of_em(alone, PACE._replace(em=math.nan)))


def test_the_pace_is_measured_and_leaves_no_trace(tmp_path):
    task, _ = toy(tmp_path / "store", tmp_path / "run")
    pace = Pace.of(task)
    assert all(0 < seconds < 60 for seconds in pace)
    assert pace.em > pace.supervised
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["config.yaml", "schema.json"]


def test_labels_whose_model_is_not_learned_are_planned_as_well(tmp_path):
    chosen = resolve(settings(changes=CHANGES), "cpu")
    masks = Task.of(toy_store(tmp_path / "store"), chosen, part_limit=8, styles=["mask"])
    assert seconds_of_em(masks) > 0


def test_a_run_that_goes_on_keeps_the_epochs_that_it_began_with(task, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "planned", lambda *_: {"em_epochs": 5})
    told: list[str] = []
    assert within(10, tmp_path, task, told.append) == {"em_epochs": 5}
    monkeypatch.setattr(plan, "planned", lambda *_: {"em_epochs": 9})
    assert within(10, tmp_path, task, told.append) == {"em_epochs": 5}
    assert within(11, tmp_path, task, told.append) == {"em_epochs": 9}, "other minutes are another plan"
    assert told[0] == "planned for 10 minutes: em_epochs 5"


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"minutes": 10}',
        '{"minutes": 10, "settings": 5}',
        '{"minutes": 10, "settings": {"em_epochs": 0}}',
        '{"minutes": 10, "settings": {"em_epochs": 2.5}}',
        '{"minutes": 10, "settings": {"zoom": 99}}',
        '{"minutes": 10, "settings": {"batch": 4}}',
        '{"settings": {"seed": 1}}',
    ],
)
def test_a_damaged_plan_is_told_by_name(task, tmp_path, content):
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(DamagedRun, match=r"plan.json: cannot be read .*delete it"):
        within(10, tmp_path, task)


def test_a_plan_is_readable(task, tmp_path, monkeypatch):
    monkeypatch.setattr(plan.Pace, "of", classmethod(lambda *_: PACE))
    lengths = within(30, tmp_path, task)
    assert json.loads((tmp_path / "plan.json").read_text()) == {"minutes": 30, "settings": lengths}
