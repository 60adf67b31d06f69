"""The page of an evaluation: tables, drift curves, and films side by side, in one HTML file."""

import base64
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from training.evaluation.world.curves import draw_curves
from training.evaluation.world.measure import MODEL, VELOCITY
from training.evaluation.world.report import FilmRecord, WorldReport
from training.evaluation.world.table import Table

MAX_EMBEDDED_BYTES = 48 << 20  # of all films; the others are linked
_TYPES = {".mp4": "video/mp4", ".webm": "video/webm", ".mov": "video/mp4", ".m4v": "video/mp4"}
_SCRIPT = """
for (const button of document.querySelectorAll('button.play')) button.addEventListener('click', () => {
  for (const film of button.closest('section').querySelectorAll('video')) { film.currentTime = 0; film.play();
  }
});
"""


def write_page(report: WorldReport, file: Path) -> None:
    """Write the page, with the films of the first clips; those that do not fit are linked (relative)."""
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    body = "\n".join(_body(report, file.parent))
    title = f"Generated videos against {escape(report.reference.name or str(report.reference))}"
    page = template.substitute(title=title, body=body, script=_SCRIPT, script_hash=f"sha256-{digest}")
    file.write_text(page, encoding="utf-8")


def _body(report: WorldReport, folder: Path) -> Iterator[str]:
    count = sum(len(record.generated) for record in report.films.values())
    yield (
        f"<p>{len(report.films)} clips, {count} generated films. Values are means over clips with"
        " 95 % intervals (bootstrap over clips). All rows but the model and added ones are controls.</p>"
    )
    for table in report.tables:
        yield from _table(report, table)
    if report.fvd:
        about = ". ".join(filter(None, (report.fvd["extractor"], report.fvd["note"])))
        yield f"<h2>FVD</h2><p class='muted'>{escape(about)}</p><div class='scroll'><table>"
        for row, found in report.fvd["rows"].items():
            value = "–" if found["fvd"] is None else f"{found['fvd']:.2f}"
            yield f"<tr><td>{escape(row)}</td><td>{value}</td><td>{found['films']} films</td></tr>"
        yield "</table></div>"
    yield from _films(report, folder)
    if report.failed:
        yield "<h2>Not measured</h2><dl>"
        for name, why in report.failed.items():
            yield f"<dt>{escape(name)}</dt><dd>{escape(why)}</dd>"
        yield "</dl>"


def _table(report: WorldReport, table: Table) -> Iterator[str]:
    yield f"<h2>{escape(table.name)}</h2>"
    if table.values:
        header, *rows = table.cells(report.bootstrap(table))
        yield "<div class='scroll'><table><thead><tr>"
        yield "".join(f"<th>{escape(cell)}</th>" for cell in header) + "</tr></thead><tbody>"
        for row in rows:
            mark = " class='model'" if row[0] == MODEL else ""
            yield f"<tr{mark}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        yield "</tbody></table></div><dl>"
        for column in table.used_columns():
            better = f"; {column.better} is better" if column.better else ""
            yield f"<dt>{escape(column.title)}</dt><dd>{escape(column.meaning + better)}</dd>"
        yield "</dl>"
    reasons = table.reasons()
    if reasons:
        yield "<ul class='muted'>" + "".join(f"<li>{escape(reason)}</li>" for reason in reasons) + "</ul>"
    rates = {record.rate for record in report.films.values()}
    curves = table.mean_curves()
    titles = {column.key: column.title for column in table.columns}
    if curves:
        yield "<div class='plots'>"
        for key, rows_of_key in curves.items():
            yield draw_curves(titles[key], rows_of_key, rates.pop() if len(rates) == 1 else None)
            rates = {record.rate for record in report.films.values()}
        yield "</div>"


def _films(report: WorldReport, folder: Path) -> Iterator[str]:
    """The films of the first clips, with a button that starts those of a clip together."""
    shown = list(report.films.items())[: report.max_kept]
    yield f"<h2>Films</h2><p class='muted'>{len(shown)} of {len(report.films)} clips.</p>"
    room = MAX_EMBEDDED_BYTES
    for name, record in shown:
        yield f"<section><h3>{escape(name)} <button class='play'>Play from the start</button></h3>"
        if record.note:
            yield f"<p class='muted'>{escape(record.note)}</p>"
        yield "<div class='films'>"
        for title, source in _sources(record).items():
            content = source if isinstance(source, bytes) else source.read_bytes()
            if len(content) <= room or isinstance(source, bytes):
                room -= len(content)
                kind = _TYPES.get("" if isinstance(source, bytes) else source.suffix.lower(), "video/mp4")
                address = f"data:{kind};base64,{base64.b64encode(content).decode()}"
            else:
                address = quote(Path(os.path.relpath(source, folder)).as_posix())
            yield (
                f"<figure><video src='{address}' controls loop muted playsinline preload='metadata'></video>"
                f"<figcaption>{escape(title)}</figcaption></figure>"
            )
        yield "</div></section>"


def _sources(record: FilmRecord) -> Mapping[str, Path | bytes]:
    """The films of a clip by title: files, or the bytes of the one at constant velocity."""
    sources: dict[str, Path | bytes] = {"ground truth": record.reference}
    for file in record.generated:
        sources[MODEL if len(record.generated) == 1 else f"{MODEL}, {file.stem}"] = file
    sources |= record.further
    if record.extrapolated is not None:
        sources[VELOCITY] = _encode(record)
    return sources


def _encode(record: FilmRecord) -> bytes:
    """The film at constant velocity as mp4; its size is cut to even numbers."""
    from training.recipes.sampling import write_video

    assert record.extrapolated is not None
    h, w = (side // 2 * 2 for side in record.size)
    with tempfile.TemporaryDirectory(prefix="clipmill-page-") as folder:
        file = Path(folder) / "film.mp4"
        write_video(record.extrapolated[:, :h, :w], record.rate, file)
        return file.read_bytes()
