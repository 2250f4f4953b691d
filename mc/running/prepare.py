"""What is checked and decided on rank 0 before a study starts or goes on."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mc.running.provenance import build, study_provenance
from mc.running.ranks import Ranks
from mc.running.team import team_size_error
from mc.running.workspace import Earlier, Workspace, begun, identity_text, usable_checkpoints
from mc.studies.combinations import unsaid_repeats
from mc.studies.file import check_study
from mc.studies.identity import (
    DATA,
    SETTINGS,
    data_of,
    identity_changes,
    labels_of,
    study_identity,
    with_absent,
)
from mc.studies.schedule import Key, Task, run_key
from mc.studies.study import Study
from tnqbm.archive import PlannedGroup
from tnqbm.archive.coordinates import check_coordinates, unite_plans
from tnqbm.base.errors import StudyError


class StartOptions(NamedTuple):
    """What is to be done with what earlier starts left."""

    resume: bool
    overwrite: bool
    retry_failed: bool


@dataclass
class Start:
    """What rank 0 found and decided before the work; ``tasks`` is sent to all ranks."""

    tasks: list[Task]
    plan: list[PlannedGroup]
    provenance: dict[str, str]
    parts: int = 0
    finished: int = 0
    planned: int = 0
    finished_cost: float = 0.0
    planned_cost: float = 0.0
    warnings: list[str] = field(default_factory=list)


def prepare(
    study: Study,
    workspace: Workspace,
    ranks: Ranks,
    threads: int,
    options: StartOptions,
    stack: ExitStack,
) -> Start:
    """Everything that can be wrong before the work, and the list of tasks. Rank 0 only."""
    size = study.run.ranks_per_run
    if wrong := team_size_error(ranks.size, size):
        raise StudyError(f"run.ranks_per_run = {size}: {wrong}")
    workspace.check(resume=options.resume, overwrite=options.overwrite, inputs=study.files())
    plan, identity = study.plan(), study_identity(study)
    runs = runs_of(plan)
    stack.enter_context(workspace.hold())
    # Again, now that nobody else can change it.
    workspace.check(resume=options.resume, overwrite=options.overwrite)
    workspace.sweep()
    if options.overwrite:
        workspace.clear()
    earlier = workspace.read()
    retried: set[Key] = set()
    other_build: list[str] = []
    if workspace.begun():
        identity, retried = compare_with_earlier(
            study, workspace, earlier, retry_failed=options.retry_failed
        )
        earlier.finished -= retried
        other_build = _other_build(earlier)
    elif problems := unsaid_repeats(study):
        raise StudyError("\n  ".join([f"{study.name} cannot start:", *problems]))
    plan = with_finished(plan, earlier.finished)
    text = identity_text(identity)
    checkpoints, useless = usable_checkpoints(workspace.checkpoints, text)
    provenance = study_provenance(ranks, threads) | {SETTINGS: text, "starts": "1"}
    if facts := study.all_data_facts():
        provenance[DATA] = json.dumps(facts, sort_keys=True)
    if size > 1:
        provenance["ranks_per_run"] = str(size)
    if earlier.provenance:
        provenance["started"] = earlier.provenance.get("started", provenance["started"])
        provenance["starts"] = str(int(earlier.provenance.get("starts", "0")) + 1)
    tasks = study.tasks(finished=earlier.finished, begun=begun(checkpoints))
    if retried:
        workspace.assemble(plan, study.text, provenance, without=retried)
        earlier.parts = 0
    _drop_superseded(workspace, tasks)
    planned_cost = sum(task.cost for task in study.tasks())
    if tasks:
        workspace.write_plan(plan, study.text, provenance)
    return Start(
        tasks=tasks,
        plan=plan,
        provenance=provenance,
        parts=earlier.parts,
        finished=len(runs & earlier.finished),
        planned=len(runs),
        finished_cost=planned_cost - sum(task.cost for task in tasks),
        planned_cost=planned_cost,
        warnings=earlier.warnings + useless + other_build * bool(tasks) + idle_members(study),
    )


def _other_build(earlier: Earlier) -> list[str]:
    """A warning if what is there was made by another build than what will be."""
    version = earlier.provenance.get("tnqbm", "?")
    made_by = earlier.provenance.get("build", f"{version} (not recorded)")
    if not earlier.finished or made_by == build():
        return []
    return [
        f"the runs that are there were made by another build ({made_by}) than this one "
        f"({build()}); their digits may differ from those of the runs to come"
    ]


def idle_members(study: Study) -> list[str]:
    """Warnings of gradients that leave some ranks of a team without work."""
    size = study.run.ranks_per_run
    all_settings = {label: study.settings(label) for label in study.labels()}
    most = {label: s.gradient.members(s) for label, s in all_settings.items()}
    return [
        f"run.ranks_per_run = {size}: the chains and minibatches of {label!r} occupy at most "
        f"{count} of them"
        for label, count in most.items()
        if count < size
    ]


def _drop_superseded(workspace: Workspace, tasks: list[Task]) -> None:
    """Remove checkpoints of tasks that are no longer to do: their blocks are there."""
    needed = {workspace.checkpoint(task) for task in tasks}
    for path in set(workspace.checkpoints.glob("*.h5")) - needed:
        path.unlink(missing_ok=True)


def failed_key(row: Mapping[str, Any]) -> Key:
    """Which run a row of :meth:`Workspace.failures` is."""
    return run_key({name: row[name] for name in row if name != "cause"}, row["seed"])


def runs_of(plan: Iterable[PlannedGroup]) -> set[Key]:
    """The runs of a plan."""
    return {run_key(group.coordinates, seed) for group in plan for seed in group.seeds}


def compare_with_earlier(
    study: Study, workspace: Workspace, earlier: Earlier, *, retry_failed: bool
) -> tuple[dict[str, Any], set[Key]]:
    """The identity of a study that goes on, and the failed runs that it tries again.

    The identity is what decides the numbers, with what is remembered of runs that the study asks
    for no more. More runs (seeds, hidden units, data sets) than before are welcome, and fewer:
    those that are there stay. Settings may change where no run has finished but those that failed;
    these are then tried again, and all that failed if ``retry_failed``. Raises StudyError if
    finished runs would change.
    """
    before = _earlier_identity(study, workspace.out, earlier)
    now = with_absent(before, study_identity(study), study, {text for text, _ in earlier.finished})

    def changes(runs: Iterable[Key]) -> list[str]:
        texts = {text for text, _ in runs}
        return identity_changes(before, now, labels_of(texts), data_of(texts))

    if not retry_failed and not changes(earlier.finished):
        return now, set()
    failed = {failed_key(row) for row in workspace.failures()}
    if lines := changes(earlier.finished - failed):
        head = (
            f"{workspace.out} cannot be resumed with other settings; restore them or choose "
            "another output:"
        )
        raise StudyError("\n  ".join([head, *lines]))
    retried = failed if retry_failed else {run for run in failed if changes([run])}
    return now, retried & runs_of(study.plan())


def with_finished(plan: Sequence[PlannedGroup], finished: Iterable[Key]) -> list[PlannedGroup]:
    """A plan with the runs that are there, though the study may ask for them no more."""
    asked = runs_of(plan)
    more = [
        PlannedGroup(check_coordinates(json.loads(text)), [seed])
        for text, seed in sorted({*finished} - asked)
    ]
    return [*unite_plans([*plan, *more]).values()]


def _earlier_identity(study: Study, out: Path, earlier: Earlier) -> dict[str, Any]:
    """Settings that made ``out``: as recorded, or (for merged archives) from its study text."""
    if SETTINGS in earlier.provenance:
        recorded: dict[str, Any] = json.loads(earlier.provenance[SETTINGS])
        return recorded
    try:
        raw = tomllib.loads(earlier.study_text)
        text = earlier.study_text
        made_by = check_study(raw, text=text, folder=study.folder, where=str(out), archived=True)
        return study_identity(made_by)
    except (tomllib.TOMLDecodeError, StudyError) as error:
        raise StudyError(
            f"{out} cannot be resumed: it does not say which settings made it, and its study "
            f"cannot be read ({error}); choose another output"
        ) from error
