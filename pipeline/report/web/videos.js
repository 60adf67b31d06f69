// The source videos: a table, and a page for each with a timeline of its clips.

const videoClips = V ? V.id.map(() => []) : [];
if (V) for (let row = 0; row < COUNTED; row += 1) if (videoRow(row) >= 0) videoClips[videoRow(row)].push(row);
const videoAt = new Map(V ? V.id.map((id, video) => [id, video]) : []);
const videosView = { query: "", table: {} };

const keptOf = (video) => videoClips[video].filter((row) => outcomeOf(row).kind === "kept");
const secondsOf = (rows) => rows.reduce((total, row) => total + (clipSeconds(row) || 0), 0);

const videosPage = () => {
  const result = h("div");
  const status = h("p", { class: "note", role: "status" });
  const texts = V.name.map((name, video) =>
    [name, V.id[video], ...V.columns.filter((c) => c.type === "text").map((c) => V.values[c.name][video])]
      .join("\n")
      .toLowerCase(),
  );
  const refresh = () => {
    const every = V.id.map((_, video) => video);
    const rows = videosView.query.trim()
      ? every.filter((video) => matches(texts[video], videosView.query.trim()))
      : every;
    status.textContent = `${count(rows.length)} of ${plural(V.total, "video")}${V.id.length < V.total ? `; this file contains ${count(V.id.length)}` : ""}.`;
    result.replaceChildren(sortableTable(videoColumns(), rows, { label: "Videos", state: videosView.table }));
  };
  refresh();
  return h(
    "div",
    {},
    h("h1", {}, "Videos"),
    h(
      "div",
      { class: "toolbar" },
      searchBox(
        "Search names and columns  ( / )",
        videosView.query,
        (query) => ((videosView.query = query), refresh()),
      ),
    ),
    status,
    result,
  );
};

const videoColumns = () => [
  {
    key: "name",
    label: "video",
    wide: true,
    get: (video) => V.name[video],
    render: (video) => h("a", { href: `#video/${V.id[video]}` }, userText(V.name[video])),
  },
  { key: "outcome", label: "outcome", get: (video) => V.outcome[video], render: videoBadge },
  {
    key: "duration",
    label: "duration",
    numeric: true,
    get: (video) => V.duration[video],
    text: (video) => (V.duration[video] === null ? "–" : clock(V.duration[video])),
  },
  {
    key: "clips",
    label: "clips",
    numeric: true,
    get: (video) => videoClips[video].length,
    text: (video) => count(videoClips[video].length),
  },
  {
    key: "kept",
    label: "kept",
    numeric: true,
    get: (video) => keptOf(video).length,
    text: (video) => count(keptOf(video).length),
  },
  {
    key: "share",
    label: "kept time",
    numeric: true,
    get: (video) => secondsOf(keptOf(video)),
    text: (video) => span(secondsOf(keptOf(video))),
  },
  ...V.columns
    .filter((column) => !["source", "uri"].includes(column.name))
    .map((column) => ({
      key: `=${column.name}`,
      label: column.name,
      title: column.meaning,
      numeric: column.type === "number",
      wide: column.type === "text",
      get: (video) => V.values[column.name][video],
      text: (video) => valueText(V.values[column.name][video], column),
    })),
];

const videoBadge = (video) => {
  const outcome = V.outcomes[V.outcome[video]];
  const text =
    outcome.kind === "kept"
      ? "read"
      : outcome.kind === "dropped"
        ? labelOf(outcome.step)
        : outcome.kind === "failed"
          ? "error"
          : outcome.kind;
  return h(
    "span",
    { class: `badge ${outcome.kind === "kept" ? "neutral" : outcome.kind.replace(" ", "-")}` },
    text,
  );
};

const videoPage = (id) => {
  const video = videoAt.get(id);
  if (video === undefined) return note(`This file does not contain a video ${id}.`);
  const rows = [...videoClips[video]].sort(
    (one, two) => (clipValue(one, "start_s") || 0) - (clipValue(two, "start_s") || 0),
  );
  const kept = keptOf(video);
  const seconds = V.duration[video];
  const reason = V.reason[video];
  return h(
    "div",
    {},
    h("nav", { class: "crumbs", "aria-label": "Video" }, h("a", { href: "#videos" }, "Videos")),
    h("h1", { class: "name" }, userText(V.name[video])),
    h(
      "p",
      { class: "lead" },
      videoBadge(video),
      ` ${seconds === null ? "" : `${clock(seconds)}, `}${plural(rows.length, "clip")}, ${count(kept.length)} kept (${span(secondsOf(kept))}${seconds ? `, ${percent(secondsOf(kept), seconds)}` : ""})`,
    ),
    reason ? h("p", { class: "alert" }, userText(reason)) : null,
    rows.length && seconds ? timeline(rows, seconds) : null,
    rows.length
      ? section(
          "Clips",
          note(`${pictureCounts(rows)}.`),
          h(
            "div",
            { class: "own-video" },
            grid(rows, (row) => clipCard(row)),
          ),
        )
      : null,
    section("Values", valueTable(V, video)),
    section("History", command(`clipmill explain ${id} store=${D.run.store}`)),
  );
};

/** The clips of a video over its time. */
const timeline = (rows, seconds) => {
  const track = h("div", { class: "track" });
  for (const row of rows) {
    const [start, end] = clipSpan(row);
    if (start === null || end === null) continue;
    const text = `${clock(start)} to ${clock(end)}: ${outcomeText(row)}`;
    track.append(
      h("a", {
        href: `#clip/${C.id[row]}`,
        class: `fill ${outcomeOf(row).kind.replace(" ", "-")}`,
        title: text,
        "aria-label": text,
        style: {
          left: `${(100 * start) / seconds}%`,
          width: `max(3px, ${(100 * (end - start)) / seconds}% - 1px)`,
        },
      }),
    );
  }
  return h(
    "div",
    { class: "timeline" },
    track,
    h(
      "div",
      { class: "track-times" },
      h("span", {}, clock(0)),
      h("span", {}, clock(seconds / 2)),
      h("span", {}, clock(seconds)),
    ),
  );
};
