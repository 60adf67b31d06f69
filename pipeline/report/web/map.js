// The map of embeddings: near points are similar clips.

const mapView = { by: "outcome" };
const RAMP = ["ramp-1", "ramp-2", "ramp-3", "ramp-4", "ramp-5"];

const mapPage = () => {
  const order = D.map.x.map((_, i) => i).sort((one, two) => D.map.x[one] - D.map.x[two]);
  const rows = order.map((i) => D.map.rows[i]);
  const x = order.map((i) => D.map.x[i]);
  const y = order.map((i) => D.map.y[i]);
  const holder = h("div", {
    class: "plot map",
    tabindex: "0",
    role: "application",
    "aria-label": "Map of clips. Left and right arrows move through the points, Enter opens the clip.",
  });
  const legend = h("div", { class: "legend" });
  const side = h(
    "aside",
    { class: "map-side", "aria-live": "polite" },
    note(
      "Point at a clip or tap it to see it; click or tap again to open it. Drag to zoom, double-click to zoom out.",
    ),
  );
  let drawn = null;
  let current = -1;
  const choose = (at) => {
    current = at;
    side.replaceChildren(clipCard(rows[at]));
  };
  const onready = (plot) => {
    const nearest = (left, top) => {
      let best = -1;
      let distance = 24 * 24;
      for (let i = 0; i < x.length; i += 1) {
        const d = (plot.valToPos(x[i], "x") - left) ** 2 + (plot.valToPos(y[i], "y") - top) ** 2;
        if (d < distance) [best, distance] = [i, d];
      }
      return best;
    };
    const at = (event) => {
      const box = plot.over.getBoundingClientRect();
      return nearest(event.clientX - box.left, event.clientY - box.top);
    };
    let pressed = null;
    plot.over.addEventListener("mousemove", (event) => {
      const found = at(event);
      if (found >= 0 && found !== current) choose(found);
    });
    let before = -1; // a first tap shows a clip, a second one opens it
    plot.over.addEventListener("pointerdown", () => (before = current));
    plot.over.addEventListener("mousedown", (event) => (pressed = [event.clientX, event.clientY]));
    plot.over.addEventListener("click", (event) => {
      const isDrag = pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) > 4;
      const found = at(event);
      if (found >= 0 && found === before && !isDrag) location.hash = `#clip/${C.id[rows[found]]}`;
    });
  };
  holder.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by) choose((current + by + rows.length) % rows.length);
    else if (event.key === "Enter" && current >= 0) location.hash = `#clip/${C.id[rows[current]]}`;
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const draw = () => {
    const groups = mapView.by === "outcome" ? outcomeGroups(rows) : valueGroups(rows, mapView.by);
    if (drawn) {
      drawn.observer.disconnect();
      if (drawn.plot) drawn.plot.destroy();
      charts.delete(drawn);
    }
    legend.replaceChildren(
      ...groups.map((group) =>
        h("span", {}, h("i", { class: `dot ${group.color}` }), `${group.label} (${count(group.rows.size)})`),
      ),
    );
    const height = Math.max(320, Math.min(620, window.innerHeight - 320));
    drawn = scatter(
      holder,
      x,
      groups.map((group) => ({
        color: group.color,
        y: rows.map((row, i) => (group.rows.has(row) ? y[i] : null)),
      })),
      { onready, height },
    );
    drawn.draw();
  };
  const numbers = C.columns.filter((column) => column.type === "number" && !isTrivial(column.name));
  const select = h(
    "select",
    { "aria-label": "Color by", onchange: (event) => ((mapView.by = event.target.value), draw()) },
    h("option", { value: "outcome" }, "Color: outcome"),
    numbers.map((column) =>
      h("option", { value: column.name, selected: column.name === mapView.by }, `Color: ${column.name}`),
    ),
  );
  draw();
  return h(
    "div",
    {},
    h("h1", {}, "Map"),
    note(D.map.method),
    h("div", { class: "toolbar" }, select),
    legend,
    h("div", { class: "map-split" }, holder, side),
  );
};

const outcomeGroups = (rows) => {
  const kinds = {
    kept: "kept",
    borderline: "kept, borderline",
    dropped: "dropped",
    rejected: "rejected",
    failed: "error",
    pending: "not finished",
  };
  const groups = Object.entries(kinds).map(([kind, label]) => ({ label, color: kind, rows: new Set() }));
  for (const row of rows) {
    const kind = outcomeOf(row).kind;
    const name =
      kind === "not finished"
        ? "pending"
        : kind === "kept" && C.borderline[row] !== null
          ? "borderline"
          : kind;
    groups[Object.keys(kinds).indexOf(name)].rows.add(row);
  }
  return groups.filter((group) => group.rows.size);
};

/** Five groups of about equal size, from the lowest values to the highest. */
const valueGroups = (rows, name) => {
  const known = rows
    .filter((row) => clipValue(row, name) !== null)
    .sort((one, two) => clipValue(one, name) - clipValue(two, name));
  return RAMP.map((shade, i) => {
    const part = known.slice(
      Math.round((i * known.length) / RAMP.length),
      Math.round(((i + 1) * known.length) / RAMP.length),
    );
    const ends = part.length
      ? [clipValue(part[0], name), clipValue(part[part.length - 1], name)].map((value) => short(value, 3))
      : [];
    return { label: ends.join(" to "), color: shade, rows: new Set(part) };
  }).filter((group) => group.rows.size);
};
