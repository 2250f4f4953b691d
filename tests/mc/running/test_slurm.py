"""The Slurm scripts, run with stand-ins for srun, scontrol and tnqbm."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.mc.studies.samples import wait_until

FOLDER = Path(__file__).parents[3] / "scripts" / "slurm"
SCRIPTS = sorted(FOLDER.glob("*.sbatch"))


def stand_in(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def run(
    folder: Path, *words: str, status: int = 0, **environment: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run study.sbatch with a tnqbm that ends with ``status``; the calls it made."""
    log = folder / "log"
    log.unlink(missing_ok=True)
    stand_in(folder, "srun", f'echo "srun $*" >> {log}\n[[ $1 == --* ]] && shift\nexec "$@"')
    stand_in(folder, "tnqbm", f'echo "tnqbm $* threads=$NUMBA_NUM_THREADS" >> {log}\nexit {status}')
    stand_in(folder, "scontrol", f'echo "scontrol $*" >> {log}')
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(FOLDER / "study.sbatch"), *words],
        capture_output=True,
        text=True,
        env={"PATH": path, "SLURM_JOB_ID": "7"} | environment,
    )
    return done, log.read_text().splitlines() if log.exists() else []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_valid_bash_and_ask_for_resources_first(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    options = [k for k, line in enumerate(lines) if line.startswith("#SBATCH")]
    # Slurm stops reading options at the first command.
    commands = [k for k, line in enumerate(lines) if line and not line.startswith("#")]
    assert max(options) < min(commands)


def test_a_study_runs_and_can_always_be_resumed(tmp_path: Path) -> None:
    done, calls = run(tmp_path, "s.toml", "out file.h5", SLURM_CPUS_PER_TASK="4")
    assert done.returncode == 0
    assert calls == [
        "srun tnqbm run s.toml -o out file.h5 --resume",
        "tnqbm run s.toml -o out file.h5 --resume threads=4",
    ]


def test_at_the_time_limit_the_job_goes_back_into_the_queue(tmp_path: Path) -> None:
    # The time was up; SIGTERM, SIGUSR1, SIGUSR2 and SIGXCPU.
    for status in (75, 143, 138, 140, 152):
        done, calls = run(tmp_path, "s.toml", "out.h5", status=status)
        assert done.returncode == 0
        assert calls[-1] == "scontrol requeue 7"
    done, calls = run(tmp_path, "s.toml", "out.h5", status=143, TNQBM_REQUEUE="0")
    assert done.returncode == 143
    assert "scontrol requeue 7" not in calls


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP])
def test_signals_to_the_script_reach_the_study(tmp_path: Path, number: signal.Signals) -> None:
    begun, log = tmp_path / "begun", tmp_path / "log"
    stand_in(tmp_path, "srun", 'exec "$@"')
    waits = f"trap 'sleep 0.2; exit 138' USR1\ntouch {begun}\nwhile :; do sleep 0.05; done"
    stand_in(tmp_path, "tnqbm", waits)
    stand_in(tmp_path, "scontrol", f'echo "scontrol $*" >> {log}')
    script = subprocess.Popen(
        ["bash", str(FOLDER / "study.sbatch"), "s.toml", "out.h5"],
        env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SLURM_JOB_ID": "7"},
    )
    wait_until(begun.exists)
    # Twice, as Slurm may: the study has not ended when the second comes.
    for _ in range(2):
        script.send_signal(number)
        time.sleep(0.05)
    assert script.wait(60) == 0
    assert log.read_text() == "scontrol requeue 7\n"


def test_tasks_of_an_array_have_files_of_their_own(tmp_path: Path) -> None:
    done, calls = run(tmp_path, "s-%a.toml", "o-%a-%a.h5", SLURM_ARRAY_TASK_ID="12")
    assert done.returncode == 0
    assert calls[0] == "srun tnqbm run s-12.toml -o o-12-12.h5 --resume"
    _, calls = run(tmp_path, "s-%a.toml", "out.h5")
    assert calls[0] == "srun tnqbm run s-%a.toml -o out.h5 --resume"


def test_a_failure_is_not_tried_again(tmp_path: Path) -> None:
    done, calls = run(tmp_path, "s.toml", "out.h5", status=1)
    assert done.returncode == 1
    assert not any(call.startswith("scontrol") for call in calls)
    done, calls = run(tmp_path, "s.toml")
    assert done.returncode == 2
    assert "usage" in done.stderr
    assert calls == []


def test_launcher_and_setup_can_be_chosen(tmp_path: Path) -> None:
    setup = tmp_path / "setup.sh"
    setup.write_text("export NUMBA_CACHE_DIR=/scratch/cache\n")
    done, calls = run(
        tmp_path, "s.toml", "out.h5", TNQBM_LAUNCH="srun --mpi=pmi2", TNQBM_SETUP=str(setup)
    )
    assert done.returncode == 0
    assert calls[0] == "srun --mpi=pmi2 tnqbm run s.toml -o out.h5 --resume"
    done, calls = run(tmp_path, "s.toml", "out.h5", TNQBM_SETUP=str(tmp_path / "none"))
    assert done.returncode == 1
    assert calls == []
