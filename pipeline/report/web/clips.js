// The clips: groups by outcome, search, sort by any column, as a grid that plays or as a table.

const clipsView = { group: "", query: "", key: "", down: true, mode: "grid", rows: [], scroll: 0, table: {} };

const clipsPage = (wanted) => {
  const groups = clipGroups();
  const group = groups.find((each) => each.key === (wanted || clipsView.group)) || groups[0];
  clipsView.group = group.key;
  const result = h("div", { class: "result" });
  const status = h("p", { class: "note", role: "status" });
  const refresh = () => fillClips(group, result, status);
  const menu = h(
    "nav",
    { class: "chips", "aria-label": "Groups of clips" },
    groups.map((each) =>
      h(
        "a",
        {
          href: `#clips/${each.key}`,
          class: `chip ${each.kind.replace(" ", "-")}`,
          "aria-current": each === group ? "true" : null,
        },
        each.label,
        h("span", { class: "chip-count" }, groupCount(each)),
      ),
    ),
  );
  const sort = h(
    "select",
    { "aria-label": "Sort by", onchange: (event) => ((clipsView.key = event.target.value), refresh()) },
    h("option", { value: "" }, "Sort: as sampled"),
    sortColumns().map(([key, text]) => h("option", { value: key, selected: key === clipsView.key }, text)),
  );
  const direction = h("button", { type: "button", class: "button", "aria-label": "Reverse the order" });
  const showDirection = () => (direction.textContent = clipsView.down ? "↓ high first" : "↑ low first");
  direction.addEventListener("click", () => {
    clipsView.down = !clipsView.down;
    showDirection();
    refresh();
  });
  showDirection();
  const mode = h("button", { type: "button", class: "button" });
  const showMode = () => (mode.textContent = clipsView.mode === "grid" ? "Table" : "Grid");
  mode.addEventListener("click", () => {
    clipsView.mode = clipsView.mode === "grid" ? "table" : "grid";
    showMode();
    refresh();
  });
  showMode();
  const search = searchBox(
    "Search captions, sources, ids  ( / )",
    clipsView.query,
    (query) => ((clipsView.query = query), refresh()),
  );
  refresh();
  return h(
    "div",
    {},
    h("h1", {}, "Clips"),
    menu,
    h("div", { class: "toolbar" }, search, sort, direction, mode),
    groupNote(group),
    status,
    result,
  );
};

/** The count of a group: exact where the run counted it. */
const groupCount = (group) =>
  count(
    group.total ??
      (COUNTED === C.total ? group.rows.length : (group.rows.length * C.total) / Math.max(1, COUNTED)),
  );

const groupNote = (group) => {
  const rule = rules.find((each) => group.key === `dropped-${each.step}`);
  if (rule) return note(`Dropped: ${rule.because}. The rule keeps `, h("code", {}, rule.where), ".");
  if (group.kind === "borderline")
    return note("Borderline: a value is within 10 % of its threshold, and no other rule drops the clip.");
  if (group.kind === "duplicates")
    return note(
      "Each duplicate is beside the clip that it repeats, which is better by the order of the run.",
    );
  return null;
};

/** What the clips can be sorted by: the distance to a threshold, the duration, and every column. */
const sortColumns = () => [
  ["video", "video and time"],
  ...C.columns.map((column) => [`=${column.name}`, column.name]),
];

const sortValue = (row) => {
  if (clipsView.key === "video")
    return `${videoName(row)}\n${String(Math.round((clipValue(row, "start_s") || 0) * 1000)).padStart(12, "0")}`;
  return clipValue(row, clipsView.key.slice(1));
};

const fillClips = (group, result, status) => {
  let rows = group.rows;
  if (clipsView.query.trim()) rows = rows.filter((row) => matches(searchText(row), clipsView.query.trim()));
  if (clipsView.key)
    rows = [...rows].sort((one, two) => compare(sortValue(one), sortValue(two), clipsView.down));
  else rows = [...rows.filter((row) => C.stills[row]), ...rows.filter((row) => !C.stills[row])];
  clipsView.rows = rows;
  const sampled =
    COUNTED < C.total ? ` from a sample of ${count(COUNTED)} of ${plural(C.total, "clip")}` : "";
  status.textContent =
    rows.length === group.rows.length
      ? `${plural(rows.length, "clip")}${sampled}; ${pictureCounts(rows)}.`
      : `${count(rows.length)} of ${plural(group.rows.length, "clip")} match${sampled}; ${pictureCounts(rows)}.`;
  if (!rows.length) result.replaceChildren(h("p", { class: "empty-state" }, "No clip matches."));
  else if (clipsView.mode === "table") result.replaceChildren(clipTable(rows));
  else if (group.kind === "duplicates") result.replaceChildren(pairGrid(rows));
  else result.replaceChildren(grid(rows, (row) => clipCard(row, sortText(row))));
};

const sortText = (row) => {
  if (!clipsView.key.startsWith("=")) return null;
  const name = clipsView.key.slice(1);
  return `${name} ${valueText(clipValue(row, name), columnOf(name))}`;
};

const pairGrid = (rows) => {
  const holder = grid(rows, pairCard, 24);
  holder.firstChild.className = "pairs";
  return holder;
};

const clipTable = (rows) => {
  const columns = [
    {
      key: "id",
      label: "clip",
      get: (row) => C.id[row],
      render: (row) => h("a", { href: `#clip/${C.id[row]}` }, C.id[row].slice(0, 8)),
    },
    { key: "outcome", label: "outcome", get: outcomeText, render: badge },
    { key: "source", label: "video", get: videoName, wide: true },
    { key: "reason", label: "reason", get: reasonText, wide: true },
    ...C.columns.map((column) => ({
      key: column.name,
      label: column.name,
      title: column.meaning,
      numeric: column.type === "number",
      wide: column.type === "text",
      get: (row) => C.values[column.name][row],
      text: (row) => valueText(C.values[column.name][row], column),
    })),
  ];
  return sortableTable(columns, rows, { label: "Clips", state: clipsView.table });
};
