// The overview: hours in and out, where they went, the funnel, and the time and rate of each step.

const tile = (title, value, ...text) =>
  h(
    "div",
    { class: "tile" },
    h("div", { class: "tile-title" }, title),
    h("div", { class: "tile-value" }, value),
    h("div", { class: "tile-text" }, ...text),
  );

const overviewPage = () => {
  const run = D.run;
  return h(
    "div",
    {},
    h("h1", {}, userText(run.dag)),
    h("p", { class: "lead" }, runLine()),
    run.error ? h("p", { class: "alert" }, userText(run.error)) : null,
    ...run.notes.map((text) => note(userText(text))),
    D.hours ? tiles() : null,
    D.hours ? hoursFlow() : null,
    funnelSection(),
    timesSection(),
  );
};

const runLine = () => {
  const run = D.run;
  const state = h(
    "span",
    { class: `badge ${run.state === "done" ? "kept" : "dropped"}` },
    run.state || "no state",
  );
  return [
    state,
    " ",
    run.started ? `${run.started.replace("T", " ").replace("Z", " UTC")}` : run.run,
    run.ended ? `, took ${span(run.wall_s)}` : "",
  ];
};

const sumOf = (name) => D.funnel.reduce((total, line) => total + line[name], 0);

const tiles = () => {
  const { hours } = D;
  const about = hours.estimated ? "about " : "";
  const kept = hours.flow
    .filter((part) => part.kind === "kept")
    .reduce((total, part) => total + part.rows, 0);
  const dropped = hours.flow
    .filter((part) => part.kind === "dropped")
    .reduce((total, part) => total + part.rows, 0);
  const refused = sumOf("rejected");
  const errors = sumOf("errors");
  const wall = D.run.ended ? D.run.wall_s : 0;
  const copied = D.times.some((line) => line.reused) ? " and copied rows of earlier runs" : "";
  return h(
    "div",
    { class: "tiles" },
    tile("In", about + span(hours.in * 3600), V ? plural(V.total, "video") : plural(C.total, "row")),
    tile(
      "Kept",
      about + span(hours.out * 3600),
      `${plural(kept, "clip")}, ${percent(hours.out, hours.in)} of the footage`,
    ),
    tile(
      "Dropped",
      about + count(dropped),
      `of ${plural(C.total, "clip")}, by ${plural(D.funnel.filter((line) => line.dropped).length, "rule")}`,
    ),
    tile(
      "Rejected",
      count(refused),
      h("span", { class: errors ? "bad" : "" }, errors ? plural(errors, "error") : "no errors"),
      refused + errors ? [" · ", h("a", { href: "#rejected" }, "why")] : null,
    ),
    tile(
      "Speed",
      wall && hours.in && D.times.length ? `${short((hours.in * 3600) / wall, 3)} ×` : "–",
      !wall
        ? "the run did not finish"
        : D.times.length
          ? `real time; the run took ${span(wall)}${copied}`
          : "all results are of earlier runs",
    ),
  );
};

/** The parts of the footage: kept, then each loss, the largest first. */
const hoursFlow = () => {
  const { hours } = D;
  const parts = hours.flow.map((part) => ({ ...part, seconds: part.hours * 3600 }));
  if (hours.rest > 1e-6)
    parts.push({ kind: "rest", step: "", label: "in no clip", seconds: hours.rest * 3600, rows: null });
  parts.sort((one, two) => (two.kind === "kept") - (one.kind === "kept") || two.seconds - one.seconds);
  const total = parts.reduce((sum, part) => sum + part.seconds, 0) || 1;
  const name = (part) =>
    part.kind === "kept"
      ? "kept"
      : part.kind === "dropped" || part.kind === "rest"
        ? part.label
        : `${part.kind === "failed" ? "error" : part.kind}: ${part.step}`;
  const link = (part) =>
    part.kind === "rest"
      ? null
      : part.unit === "videos"
        ? "#videos"
        : `#clips/${part.kind === "kept" ? "kept" : `${part.kind}-${part.step}`}`;
  const bar = h("div", {
    class: "flow",
    role: "img",
    "aria-label": parts.map((part) => `${name(part)} ${percent(part.seconds, total)}`).join(", "),
  });
  bar.append(
    ...parts
      .filter((part) => part.seconds > 0)
      .map((part, i) =>
        h("span", {
          class: `fill ${part.kind.replace(" ", "-")} shade-${i % 4}`,
          style: { "flex-grow": part.seconds / total },
          title: `${name(part)}: ${span(part.seconds)}`,
        }),
      ),
  );
  const rows = parts.map((part, i) => {
    const rowsText = part.rows === null ? "" : plural(part.rows, part.unit === "videos" ? "video" : "clip");
    const text = [
      h("span", { class: `dot fill ${part.kind.replace(" ", "-")} shade-${i % 4}` }),
      link(part) ? h("a", { href: link(part) }, name(part)) : name(part),
    ];
    return h(
      "tr",
      {},
      h("td", {}, ...text),
      h("td", { class: "n" }, part.seconds ? span(part.seconds) : "–"),
      h("td", { class: "n" }, percent(part.seconds, total)),
      h("td", { class: "n" }, rowsText),
    );
  });
  const head = h(
    "tr",
    {},
    h("th", { scope: "col" }, "outcome"),
    ...["time", "share", "rows"].map((text) => h("th", { class: "n", scope: "col" }, text)),
  );
  return section(
    "Where the hours went",
    bar,
    h(
      "div",
      { class: "scroll" },
      h("table", { class: "plain flow-table" }, h("thead", {}, head), h("tbody", {}, rows)),
    ),
    hours.estimated
      ? note(`Hours are estimated from ${count(COUNTED)} of ${plural(C.total, "clip")}.`)
      : null,
    parts.some((part) => part.unit === "videos" && part.rows && !part.seconds)
      ? note("A video that could not be read has no duration.")
      : null,
  );
};

const funnelSection = () => {
  const shown = D.funnel.filter((line) => !line.quiet);
  const hidden = D.funnel.filter((line) => line.quiet);
  const totals = new Map();
  for (const line of D.funnel) if (line.step === line.table) totals.set(line.table, line.out);
  const body = shown.map((line) => funnelRow(line, totals));
  const idle = hidden.filter((line) => line.kind === "drops");
  const stages = hidden.filter((line) => line.kind !== "drops");
  return section(
    "Funnel",
    h("div", { class: "scroll" }, h("table", { class: "plain funnel" }, h("tbody", {}, body))),
    hidden.length
      ? h(
          "details",
          {},
          h(
            "summary",
            {},
            `${plural(idle.length, "rule")} dropped nothing, ${plural(stages.length, "stage")} kept every row`,
          ),
          idle.length
            ? h("p", { class: "note" }, "Rules: ", idle.map((line) => line.description).join(" · "))
            : null,
          stages.length
            ? h("p", { class: "note" }, "Stages: ", stages.map((line) => line.step).join(" · "))
            : null,
        )
      : null,
  );
};

const funnelRow = (line, totals) => {
  const isNew = line.step === line.table;
  const whole = isNew ? line.out : totals.get(line.kind === "children" ? "" : line.table) || line.in || 1;
  const parts = isNew
    ? [["kept", line.out]]
    : [
        ["kept", line.passed],
        ["dropped", line.dropped],
        ["rejected", line.rejected],
        ["failed", line.errors],
      ];
  const bar = h(
    "div",
    { class: "bar" },
    parts
      .filter(([, rows]) => rows)
      .map(([kind, rows]) =>
        h("i", {
          class: `fill ${kind}`,
          style: { width: `${(100 * rows) / (whole || 1)}%` },
          title: `${count(rows)} ${kind}`,
        }),
      ),
  );
  const lost = [
    line.dropped ? `${count(line.dropped)} dropped` : "",
    line.rejected ? `${count(line.rejected)} rejected` : "",
    line.errors ? plural(line.errors, "error") : "",
  ]
    .filter(Boolean)
    .join(", ");
  return h(
    "tr",
    { class: isNew ? "new" : "" },
    h("th", { scope: "row", title: line.description }, line.step),
    h("td", { class: "bar-cell" }, bar),
    h("td", { class: "n" }, isNew ? plural(line.out, "row") : count(line.out)),
    h("td", { class: "n" }, line.note || lost),
    h("td", { class: "muted wide" }, line.kind === "drops" ? line.description : ""),
  );
};

const timesSection = () => {
  const times = D.times.filter((line) => line.busy_s > 0 || line.processed || line.reused);
  if (!times.length) return null;
  const total = times.reduce((sum, line) => sum + line.busy_s, 0);
  const most = Math.max(...times.map((line) => line.busy_s), 1e-9);
  const columns = [
    { key: "step", label: "step", get: (line) => line.step },
    {
      key: "busy",
      label: "worker time",
      numeric: true,
      get: (line) => line.busy_s,
      text: (line) => (line.busy_s ? span(line.busy_s) : "–"),
    },
    {
      key: "share",
      label: "share",
      get: (line) => line.busy_s,
      render: (line) =>
        h(
          "div",
          { class: "bar" },
          h("i", {
            class: "fill accent",
            style: { width: `${(100 * line.busy_s) / most}%` },
            title: percent(line.busy_s, total),
          }),
        ),
    },
    {
      key: "rows",
      label: "rows",
      numeric: true,
      get: (line) => line.processed,
      text: (line) => count(line.processed),
    },
    {
      key: "rate",
      label: "rows/s",
      numeric: true,
      get: (line) => rate(line),
      text: (line) => (rate(line) === null ? "–" : short(rate(line), 3)),
    },
    {
      key: "reused",
      label: "copied",
      numeric: true,
      get: (line) => line.reused,
      text: (line) => (line.reused ? count(line.reused) : "–"),
    },
  ];
  return section(
    "Time and rate per step",
    note(
      `${span(total)} of worker time in this run. Steps that ran together are timed together. Copied rows come from an earlier run.`,
    ),
    sortableTable(columns, times, { label: "Time per step" }),
  );
};

const rate = (line) => (line.busy_s > 0 && line.processed ? line.processed / line.busy_s : null);
