// Rejected rows, curves of trainings, sampled videos, and the record of the run.

const rejectedPage = () => {
  const rows = D.rejects.flatMap((step) => step.rows.map((row) => ({ step: step.step, ...row })));
  const total = D.rejects.reduce((sum, step) => sum + step.count, 0);
  const state = {};
  const view = { query: "" };
  const result = h("div");
  const status = h("p", { class: "note", role: "status" });
  const columns = [
    {
      key: "kind",
      label: "kind",
      get: (row) => row.kind,
      render: (row) =>
        h("span", { class: `badge ${row.kind === "error" ? "failed" : "rejected"}` }, row.kind),
    },
    { key: "source", label: "source", wide: true, get: (row) => row.source },
    { key: "reason", label: "reason", wide: true, get: (row) => row.reason },
    { key: "step", label: "step", get: (row) => row.step },
    { key: "detail", label: "detail", wide: true, get: (row) => row.detail },
    {
      key: "id",
      label: "row",
      get: (row) => row.id,
      render: (row) =>
        videoAt.has(row.id)
          ? h("a", { href: `#video/${row.id}` }, h("code", {}, row.id))
          : clipAt.has(row.id)
            ? h("a", { href: `#clip/${row.id}` }, h("code", {}, row.id))
            : h("code", {}, row.id),
    },
  ];
  const refresh = () => {
    const shown = view.query.trim()
      ? rows.filter((row) => matches(Object.values(row).join("\n").toLowerCase(), view.query.trim()))
      : rows;
    status.textContent = `${count(shown.length)} shown of ${plural(total, "row")}${rows.length < total ? `; this file contains the first ${count(rows.length)}` : ""}.`;
    result.replaceChildren(sortableTable(columns, shown, { label: "Rejected rows", state }));
  };
  refresh();
  return h(
    "div",
    {},
    h("h1", {}, "Rejected rows and errors"),
    h(
      "p",
      { class: "lead" },
      "A stage refused a rejected row and says why. An error is a failure of the stage itself.",
    ),
    h(
      "div",
      { class: "toolbar" },
      searchBox("Search  ( / )", "", (query) => ((view.query = query), refresh())),
    ),
    status,
    result,
    h("p", {}, "Process rows with errors again: ", command("clipmill run … --retry-errors")),
  );
};

const trainingPage = () =>
  h(
    "div",
    {},
    h("h1", {}, "Training"),
    D.curves.map((curve) => curveSection(curve)),
    D.samples.length
      ? section(
          "Sampled videos",
          h(
            "div",
            { class: "grid" },
            D.samples.map((sample) =>
              h(
                "figure",
                { class: "panel" },
                sample.data
                  ? h("video", {
                      src: sample.data,
                      controls: true,
                      loop: true,
                      muted: true,
                      playsinline: true,
                      preload: "auto",
                    })
                  : note(`${bytes(sample.file.size_bytes)}, not in this file`),
                h("figcaption", {}, `${sample.step}: `, fileLink(sample.file)),
              ),
            ),
          ),
        )
      : null,
  );

/** A link to a file of the store; digests in its name are shortened. */
const fileLink = (file) => {
  const name = file.path
    .replace(/^[^/]+\/(?:artifacts\/(?:.*\/)?)?/, "")
    .replace(/[0-9a-f]{40,}/g, (text) => text.slice(0, 12));
  return h("a", { href: file.link, class: "path", title: file.path }, userText(name));
};

const curveSection = (curve) => {
  const holder = h("div", { class: "plot" });
  const readout = h(
    "p",
    { class: "note readout" },
    "Point at the curve to read it; drag to zoom, double-click to zoom out.",
  );
  const chosen = new Set(
    curve.series.map((series) => series.name).filter((name) => /^(loss|validation.*)$/.test(name)),
  );
  if (!chosen.size) chosen.add(curve.series[0].name);
  let log = false;
  let drawn = null;
  const draw = () => {
    const shown = curve.series.filter((series) => chosen.has(series.name));
    if (drawn) {
      drawn.observer.disconnect();
      if (drawn.plot) drawn.plot.destroy();
      charts.delete(drawn);
    }
    legend.replaceChildren(...curve.series.map((series) => toggle(series, shown.indexOf(series))));
    drawn = curves(holder, curve.x, shown, {
      xLabel: "step",
      yLabel: shown.length === 1 ? shown[0].name : "value",
      log: log && shown.every((s) => s.y.every((v) => v === null || v > 0)),
      readout,
    });
    drawn.draw();
  };
  const toggle = (series, at) =>
    h(
      "button",
      {
        type: "button",
        class: "chip",
        "aria-pressed": String(at >= 0),
        onclick: () => {
          if (chosen.has(series.name) && chosen.size > 1) chosen.delete(series.name);
          else chosen.add(series.name);
          draw();
        },
      },
      at >= 0 ? h("i", { class: `dot ${SERIES_COLORS[at % SERIES_COLORS.length]}` }) : null,
      series.name,
    );
  const legend = h("div", { class: "chips" });
  const scale = h("button", { type: "button", class: "button", "aria-pressed": "false" }, "Log scale");
  scale.addEventListener("click", () => {
    log = !log;
    scale.setAttribute("aria-pressed", String(log));
    draw();
  });
  draw();
  const loss = (curve.series.find((series) => series.name === "loss") || curve.series[0]).y.filter(
    (value) => value !== null,
  );
  const facts = `${count(curve.points)} points, ${count(curve.x.length)} shown; first ${short(loss[0])}, last ${short(loss[loss.length - 1])}, lowest ${short(Math.min(...loss))}`;
  return section(
    curve.step,
    h("div", { class: "toolbar" }, legend, scale),
    holder,
    readout,
    note(`${facts}. `, fileLink(curve.file)),
  );
};

const runPage = () => {
  const run = D.run;
  const facts = {
    recipe: run.recipe,
    run: run.run,
    state: [run.state, run.error].filter(Boolean).join(": "),
    store: run.store,
    started: run.started,
    ended: run.ended,
    waited: run.waited,
    code: run.commit,
    versions: run.versions,
  };
  return h(
    "div",
    {},
    h("h1", {}, "Run"),
    h(
      "dl",
      { class: "facts" },
      Object.entries(facts)
        .filter(([, text]) => text)
        .map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, userText(text)))),
    ),
    section(
      "Knobs that were set",
      run.knobs.length
        ? h(
            "dl",
            { class: "knobs" },
            run.knobs.map((knob) =>
              h("div", {}, h("dt", {}, h("code", {}, userText(knob.text))), h("dd", {}, knob.description)),
            ),
          )
        : note("None: every knob has its default."),
    ),
    section(
      "Files",
      D.files.steps.map((step) =>
        h(
          "div",
          {},
          h(
            "h3",
            {},
            step.step,
            h("span", { class: "muted" }, ` ${count(step.files.length)} of ${plural(step.count, "file")}`),
          ),
          h(
            "ul",
            { class: "plain" },
            step.files.map((file) =>
              h("li", {}, fileLink(file), h("span", { class: "muted" }, ` ${bytes(file.size_bytes)}`)),
            ),
          ),
        ),
      ),
      h(
        "details",
        {},
        h("summary", {}, "All tables"),
        h(
          "ul",
          { class: "plain" },
          D.files.folders.map((each) =>
            h(
              "li",
              {},
              h("a", { href: each.link }, each.step),
              h("span", { class: "muted" }, ` ${each.kind}`),
            ),
          ),
        ),
      ),
    ),
  );
};
