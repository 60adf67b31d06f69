"""The Ray Serve configuration of a model is one that `serve deploy` accepts; no engine runs here."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import stages.captions
from stages.captions.caption_clip import CaptionClip

CONFIG = Path(stages.captions.__file__).parent / "serving/serve_vlm.yaml"


@pytest.fixture
def config() -> Any:
    return yaml.safe_load(CONFIG.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_ray_serve_accepts_the_configuration(config: Any) -> None:
    schema = pytest.importorskip("ray.serve.schema", reason="needs ray[serve]", exc_type=ImportError)
    found = schema.ServeDeploySchema.model_validate(config)
    assert [application.import_path for application in found.applications] == [
        "ray.serve.llm:build_openai_app"
    ]
    (model,) = config["applications"][0]["args"]["llm_configs"]
    autoscaling = {"autoscaling_config": model["deployment_config"]["autoscaling_config"]}
    schema.DeploymentSchema.model_validate({"name": "vlm", **autoscaling, "max_ongoing_requests": 64})


def test_one_window_of_pictures_fits_into_a_request(config: Any) -> None:
    (model,) = config["applications"][0]["args"]["llm_configs"]
    assert model["engine_kwargs"]["limit_mm_per_prompt"]["image"] == CaptionClip.max_images
    assert model["model_loading_config"]["model_id"] == "vlm"
