"""No secret of the environment, of a list or of a knob is in anything that a run writes or prints."""

from pathlib import Path

import pytest
from file_server import serve

from pipeline.cli import main
from stages.media.remote import errors

RECIPE = """dag: short
knobs: {footage: null, api_token: null}
steps:
  list_videos:
    stage: ListVideos
    with: {root: "${footage}", allow_private_urls: true, list_columns: [note:str]}
  probe_video: {from: list_videos, stage: ProbeVideo}
save: {videos: probe_video}
"""
SECRETS = ("s3cret-signature", "s3cret-user", "s3cret-key", "s3cret-session", "s3cret-token", "s3cret-note")


def test_secrets_are_in_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(errors, "_FIRST_WAIT_S", 0.0)
    for name, value in {
        "AWS_SECRET_ACCESS_KEY": SECRETS[2], "AWS_SESSION_TOKEN": SECRETS[3], "NO_PROXY": "127.0.0.1",
        "CHAT_URL": f"http://u:{SECRETS[1]}@host/v1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    with serve({"/a.mp4": b"no film", "/b.mp4": b"x"}, token=f"X-Amz-Signature={SECRETS[0]}") as server:
        signed = f"{server.url}/a.mp4?X-Amz-Signature={SECRETS[0]}"
        lines = [
            "uri,note", f"{signed},https://u:{SECRETS[5]}@host/x",
            f"{server.url}/gone.mp4?X-Amz-Signature={SECRETS[0]},",
            f"http://u:{SECRETS[1]}@127.0.0.1:1/c.mp4,see https://h/?token={SECRETS[5]}",
            f"s3://KEY:{SECRETS[1]}@bucket/d.mp4,", f"http://u:{SECRETS[1]}@[bad/e.mp4?sig={SECRETS[0]},",
            f"ftp://u:{SECRETS[1]}@host/f.mp4,", f"http://u:{SECRETS[1]}@169.254.169.254/g.mp4?sig={SECRETS[0]},",
        ]  # fmt: skip
        (tmp_path / "list.csv").write_text("\n".join(lines))
        store = f"store={tmp_path / 'store'}"
        words = [str(tmp_path / "recipe.yaml"), f"footage={tmp_path / 'list.csv'}", store]
        main(["plan", *words, f"api_token={SECRETS[4]}"])
        main(["run", *words, f"api_token={SECRETS[4]}", "--inline"])
        main(["run", *words[:1], f"footage={signed}", words[2], f"api_token={SECRETS[4]}", "--inline"])
    for verb in ("status", "report", "table"):
        main([verb, store])
    out, err = capfd.readouterr()
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert any(path.name == "report.html" for path in files)
    assert "HTTP 404" in out + err or any(b"HTTP 404" in path.read_bytes() for path in files)
    written = {str(path): path.read_bytes() for path in files}
    written |= {"printed": (out + err).encode(), **{path: path.encode() for path in written}}
    found = [
        (name, secret) for name, data in written.items() for secret in SECRETS if secret.encode() in data
    ]
    assert found == []
