"""The command evaluate world: each table with its controls, pairing by name, and films that do not fit."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from training.cli import main
from training.data.video_file import open_video
from training.evaluation.world.films import pair_films
from training.recipes.sampling import write_video


def evaluate(folder: Path, tmp_path: Path, *options: str, code: int = 0) -> dict[str, Any]:
    out = tmp_path / "out.json"
    arguments = ["--videos", str(folder / "made"), "--reference", str(folder / "truth"), "--json", str(out)]
    assert main(["evaluate", "world", *arguments, "--num-threads", "1", *options]) == code
    return json.loads(out.read_text()) if out.exists() else {}


def read(file: Path) -> np.ndarray:
    with open_video(file) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.fixture
def films(camera_films: Path, tmp_path: Path) -> Path:
    """A copy of the camera films that a test may change."""
    return Path(shutil.copytree(camera_films, tmp_path / "films"))


def test_cameras_have_all_controls(
    camera_films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate(
        camera_films, tmp_path, "--metrics", "sampson,psnr", "--max-pairs", "3", "--gaps", "1", "8"
    )
    rows = found["tables"]["sampson"]["rows"]
    assert list(rows) == [
        "model",
        "ground truth",
        "ground truth, wrong condition",
        "wrong condition",
        "first frame repeated",
        "constant velocity",
    ]
    gap8 = {row: columns["sampson_gap8_px"]["mean"] for row, columns in rows.items()}
    assert gap8["ground truth"] < 0.25
    assert gap8["model"] < 0.4
    for control in ("wrong condition", "ground truth, wrong condition"):
        assert gap8[control] > 3 * gap8["model"], control
        difference = rows[control]["sampson_gap8_px"]["minus_model"]
        assert difference["low"] > 0
        assert difference["clips"] == 3
    # Two of the paths do not turn: there the Sampson error of a frozen film is 0, and its parallax tells.
    frozen = found["tables"]["sampson"]["clips"]["first frame repeated"]
    assert frozen["sampson_gap8_px"]["left"] < 1e-6
    assert frozen["sampson_gap8_px"]["arc"] > 3 * gap8["model"]
    assert frozen["parallax_gap8"]["left"] == pytest.approx(0, abs=0.01)
    assert rows["model"]["parallax_gap8"]["mean"] == pytest.approx(1, abs=0.02)
    assert rows["model"]["parallax_error_gap8"]["mean"] < 0.03
    assert rows["ground truth"]["parallax_error_gap8"]["mean"] == 0
    assert "parallax_gap8" in rows["wrong condition"]
    assert rows["wrong condition"]["parallax_gap8"]["mean"] is None
    # The published form calls the frozen film perfect.
    assert rows["first frame repeated"]["fitted_gap8_px"]["mean"] < 1e-3
    assert rows["model"]["fitted_gap8_px"]["mean"] > 1e-3
    assert rows["model"]["matches_gap8"]["mean"] > 50
    psnr = found["tables"]["psnr"]["rows"]
    assert psnr["ground truth"]["psnr_db"]["mean"] == 60
    assert psnr["model"]["psnr_db"]["mean"] > psnr["first frame repeated"]["psnr_db"]["mean"] + 5
    assert psnr["another clip"]["psnr_db"]["mean"] < psnr["first frame repeated"]["psnr_db"]["mean"]
    assert psnr["model"]["lag_frames"]["mean"] == 0
    curve = found["tables"]["psnr"]["curves"]["psnr_db"]["first frame repeated"]
    assert len(curve) == 13
    assert curve[0] is None  # given
    assert curve[1] > curve[12] + 1
    text = capsys.readouterr().out
    assert "3 clips, 3 generated films" in text
    assert "gap 8 px minus model" in text


def test_objects_and_physics_with_seeds_and_shuffled_actions(
    push_films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shuffled = ("--shuffled", str(push_films / "shuffled"), "--object", "puck=200,40,40")
    metrics = ("--metrics", "psnr,ssim,physics-iq,objects")
    found = evaluate(push_films, tmp_path, *metrics, *shuffled)
    objects = found["tables"]["objects"]
    rows = objects["rows"]
    assert objects["notes"]["units"] == {"puck": "m"}
    assert objects["notes"]["residuals"]["puck"] < 0.1 / 64
    assert rows["ground truth"]["puck_error_m"]["mean"] < 0.1 / 64
    assert rows["model"]["puck_error_m"]["mean"] == pytest.approx(1 / 64, rel=0.1)
    assert rows["constant velocity"]["puck_error_m"]["mean"] < 1e-6  # the truth has a constant velocity
    assert rows["first frame repeated"]["puck_error_m"]["mean"] == pytest.approx(1.8 * 5 / 64, rel=0.05)
    sensitivity = rows["shuffled condition"]["puck_error_m"]["minus_model"]
    assert sensitivity["mean"] == pytest.approx((2 * 1.8 * 5 - 1) / 64, rel=0.1)
    assert sensitivity["low"] > 0
    assert rows["model"]["puck_found_share"]["mean"] == 1
    for table, key in (
        ("psnr", "psnr_db"),
        ("ssim", "ssim"),
        ("physics-iq", "physics_iq"),
    ):
        values = {row: each[key]["mean"] for row, each in found["tables"][table]["rows"].items()}
        assert values["ground truth"] >= values["model"] > values["first frame repeated"], table
        assert values["model"] > values["shuffled condition"], table
        assert "wrong condition" not in values
    assert found["tables"]["physics-iq"]["rows"]["ground truth"]["physics_iq"]["mean"] == 100
    assert "4 clips, 5 generated films" in capsys.readouterr().out


def test_masks_of_objects(push_films: Path, tmp_path: Path) -> None:
    for folder in ("truth", "made"):
        (tmp_path / folder).mkdir()
        for file in (push_films / folder).glob("push_1*"):
            shutil.copy(file, tmp_path / folder)
    found = evaluate(tmp_path, tmp_path, "--metrics", "mask-iou")
    values = {row: each["mask_iou"]["mean"] for row, each in found["tables"]["mask-iou"]["rows"].items()}
    assert set(values) == {"model", "ground truth", "first frame repeated", "constant velocity"}
    assert values["ground truth"] > 0.7
    assert values["ground truth"] > values["model"] > values["first frame repeated"] + 0.2


def test_a_rollout_that_repeats_a_frame_is_late(push_films: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(push_films, tmp_path / "films"))
    for file in (folder / "made").glob("*__1.mp4"):
        file.unlink()
    for file in (folder / "made").glob("*__0.mp4"):
        film = read(file)
        write_video(film[[0, 1, 1, *range(2, len(film) - 1)]], 8.0, file)
    found = evaluate(folder, tmp_path, "--metrics", "psnr")
    assert found["tables"]["psnr"]["rows"]["model"]["lag_frames"]["mean"] == 1
    assert found["tables"]["psnr"]["rows"]["ground truth"]["lag_frames"]["mean"] == 0


def test_films_that_do_not_fit_are_named_and_the_rest_goes_on(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, truth = films / "made", films / "truth"
    film = read(made / "left.mp4")
    write_video(film[:9], 8.0, made / "left.mp4")
    write_video(film, 12.0, made / "forward.mp4")
    write_video(film[:, :, :64], 8.0, made / "arc.mp4")
    write_video(film, 8.0, made / "nowhere__3.mp4")
    (truth / "forward.conditions.parquet").unlink()
    found = evaluate(films, tmp_path, "--metrics", "psnr")
    assert list(found["clips"]) == ["left"]
    assert found["clips"]["left"]["note"].startswith("9 frames are compared: the reference has 13 frames")
    assert found["clips"]["left"]["frames"] == 9
    assert "12 frames per second, and the reference 8" in found["failed"]["forward"]
    assert "another aspect" in found["failed"]["arc"]
    assert found["failed"]["nowhere__3"] == "there is no film 'nowhere' in the reference"
    assert "not measured: arc" in capsys.readouterr().out
    (made / "left.mp4").write_bytes(b"no film")
    (tmp_path / "out.json").unlink()
    evaluate(films, tmp_path, code=1)
    assert "no film could be measured" in capsys.readouterr().err


def test_a_smaller_film_is_scaled(films: Path, tmp_path: Path) -> None:
    film = read(films / "made" / "left.mp4")
    write_video(film[:, ::2, ::2], 8.0, films / "made" / "left.mp4")
    found = evaluate(films, tmp_path, "--metrics", "psnr")
    assert list(found["clips"]) == ["arc", "forward", "left"]


def test_sidecars_that_are_wrong_or_missing(films: Path, tmp_path: Path) -> None:
    sidecar = films / "truth" / "left.conditions.parquet"
    table = pq.read_table(sidecar)
    poses = np.array(table["camera_pose"].to_pylist())
    poses[3, 0] = 2.0
    index = table.column_names.index("camera_pose")
    pq.write_table(table.set_column(index, "camera_pose", [poses.tolist()]), sidecar)
    short = films / "truth" / "forward.conditions.parquet"
    pq.write_table(pq.read_table(short).slice(0, 9), short)
    (films / "truth" / "arc.conditions.parquet").unlink()
    found = evaluate(films, tmp_path, "--metrics", "sampson,psnr")
    assert "camera_pose of frame 3 is no rotation" in found["failed"]["left"]
    assert "do not cover frame 9" in found["failed"]["forward"]
    table = found["tables"]["sampson"]
    assert table["missing"] == {"arc": "there is no camera_pose with camera_intrinsics in its conditions"}
    assert table["rows"] == {}
    assert found["tables"]["psnr"]["rows"]["model"]["psnr_db"]["clips"] == 1
    assert found["tables"]["psnr"]["rows"]["model"]["psnr_db"]["low"] is None


def test_too_few_matches_are_reported_and_not_zero(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = read(films / "made" / "left.mp4")
    write_video(np.full_like(film, 120), 8.0, films / "made" / "left.mp4")
    (films / "made" / "forward.mp4").unlink()
    found = evaluate(films, tmp_path, "--metrics", "sampson", "--max-pairs", "2", "--gaps", "4")
    values = found["tables"]["sampson"]["clips"]["model"]
    assert values["sampson_gap4_px"]["left"] is None
    assert values["matches_gap4"]["left"] == 0
    assert values["sampson_gap4_px"]["arc"] > 0
    assert "2 of 2 pairs of gap 4 have fewer than 16 matches" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--metrics", "sampsonn"), "there is no metric 'sampsonn'"),
        (("--metrics", "objects"), "the metric objects needs colors of objects"),
        (("--metrics", "instruction"), "the metric instruction needs colors of objects"),
        (("--object", "puck=red"), "no name and color"),
        (("--compare", "model=x"), "has a row 'model' already"),
        (("--compare", "x"), "is no row"),
        (("--reference", "nowhere"), "there is no such folder"),
        (("--html", "nowhere/x.html"), "no such folder to write to"),
        (("--metrics", "psnr", "--given-frames", "13"), "no film could be measured"),
    ],
)
def test_wrong_requests(
    options: tuple[str, ...],
    message: str,
    camera_films: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = 1 if "measured" in message else 2
    evaluate(camera_films, tmp_path, *options, code=code)
    assert message in capsys.readouterr().err


def test_films_without_a_common_name(
    camera_films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "made").mkdir()
    shutil.copy(camera_films / "made" / "left.mp4", tmp_path / "made" / "other.mp4")
    shutil.copytree(camera_films / "truth", tmp_path / "truth")
    evaluate(tmp_path, tmp_path, code=2)
    assert "paired by name" in capsys.readouterr().err


def test_references_without_a_generated_film_are_named(tmp_path: Path) -> None:
    for name in ("made/a/front", "truth/a/front", "truth/a/left", "truth/b/front", "truth/b/left"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.mp4").touch()
    pairs, failed = pair_films(tmp_path / "made", tmp_path / "truth")
    assert [pair.name for pair in pairs] == ["a/front"]
    assert failed == {
        "a/left": "there is no generated film of it",
        "b/front and 1 more of the reference": "there is no generated film",
    }
