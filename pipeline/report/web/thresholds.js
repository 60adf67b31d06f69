// Thresholds: a histogram of every score, and sliders that count from stored values what other limits keep.

const thresholdsPage = () => {
  const summary = h("div", { class: "panel summary", "aria-live": "polite" });
  const cards = [];
  rules.forEach((rule, number) =>
    rule.terms.forEach((term, i) => cards.push(thresholdCard(number, i, (card) => refresh([card])))),
  );
  const refresh = (changed = cards) => {
    changed.forEach((card) => card.update());
    fillSummary(summary, () => {
      thresholds.clear();
      cards.forEach((card) => card.reset());
      refresh();
    });
  };
  const ruled = new Set(rules.flatMap((rule) => rule.terms.map((term) => term.column)));
  const others = C.columns.filter(
    (column) => column.type === "number" && !ruled.has(column.name) && !isTrivial(column.name),
  );
  const fixed = rules.filter((rule) => !rule.terms.length);
  const active = cards.filter((card) => card.dropped);
  const idle = cards.filter((card) => !card.dropped);
  const page = h(
    "div",
    {},
    h("h1", {}, "Thresholds"),
    h(
      "p",
      { class: "lead" },
      "Move a slider: the counts come from stored values, and nothing runs. Then run again with the knobs below.",
    ),
    COUNTED < C.total
      ? note(`Counts are of ${count(COUNTED)} evenly spaced clips of ${count(C.total)}.`)
      : null,
    cards.length ? summary : note("No rule compares a number."),
    h("div", { class: "threshold-grid" }, nodes(active)),
    idle.length
      ? h(
          "details",
          { open: !active.length },
          h("summary", {}, `${plural(idle.length, "threshold")} of rules that dropped nothing`),
          h("div", { class: "threshold-grid" }, nodes(idle)),
        )
      : null,
    fixed.length
      ? section(
          "Rules without a slider",
          h(
            "ul",
            { class: "plain" },
            fixed.map((rule) =>
              h("li", {}, h("code", {}, rule.where), ` ${rule.because}: ${count(rule.dropped)} dropped`),
            ),
          ),
        )
      : null,
    others.length
      ? h(
          "details",
          {},
          h("summary", {}, `${plural(others.length, "score")} that no rule reads`),
          h(
            "div",
            { class: "score-grid" },
            others.map((column) => scoreCard(column)),
          ),
        )
      : null,
  );
  refresh();
  return page;
};

const nodes = (cards) => cards.map((card) => card.node);

const isTrivial = (name) => {
  const values = C.values[name].filter((value) => value !== null);
  return values.length < 2 || values.every((value) => value === values[0]);
};

/** The numbers of a column of the sampled clips. */
const scores = (name) =>
  C.values[name].slice(0, COUNTED).filter((value) => value !== null && value !== undefined);

const thresholdCard = (number, i, onchange) => {
  const rule = rules[number];
  const term = rule.terms[i];
  const key = `${number}:${i}`;
  const column = columnOf(term.column) || { name: term.column, unit: "", meaning: "" };
  const values = C.values[term.column] ? scores(term.column) : [];
  const plot = h("div", { class: "plot" });
  const output = h("output", { class: "kept-count" });
  const alone = h("p", { class: "note" });
  const setting = h("div", { class: "setting" });
  const node = h(
    "section",
    { class: "panel threshold", "data-column": term.column, "data-rule": rule.step },
    h(
      "h3",
      { title: column.meaning },
      term.column,
      h("span", { class: "muted" }, ` ${term.op} ${short(term.value)}${unitText(column)}`),
    ),
    h(
      "p",
      { class: "note about" },
      `Dropped as ${rule.because}. `,
      column.meaning ? `${column.meaning[0].toUpperCase()}${column.meaning.slice(1)}.` : "",
    ),
  );
  const card = { node, dropped: rule.dropped, update: () => {}, reset: () => {} };
  if (!values.length) {
    node.append(note("No clip of this file has this score."));
    return card;
  }
  const bins = binning(values, [term.value]);
  const isKept = (value) => passes(value, term.op, limitOf(number, i));
  const drawn = histogram(plot, bins, binCounts(bins, values, isKept), { limit: () => limitOf(number, i) });
  const label = `Threshold of ${term.column}`;
  const slider = h("input", {
    type: "range",
    min: bins.low,
    max: bins.high,
    step: "any",
    "aria-label": label,
  });
  const box = h("input", {
    type: "number",
    step: "any",
    class: "limit",
    "aria-label": `${label}, as a number`,
  });
  const set = (value) => {
    if (!Number.isFinite(value) || value === term.value) thresholds.delete(key);
    else thresholds.set(key, value);
    onchange(card);
  };
  slider.addEventListener("input", () => set(Number(Number(slider.value).toPrecision(3))));
  box.addEventListener("change", () => set(box.value === "" ? term.value : Number(box.value)));
  const update = () => {
    const limit = limitOf(number, i);
    if (document.activeElement !== slider) slider.value = limit;
    box.value = limit;
    drawn.set(binCounts(bins, values, isKept));
    const now = values.filter((value) => passes(value, term.op, term.value)).length;
    const next = values.filter(isKept).length;
    slider.setAttribute("aria-valuetext", `${short(limit)}: keeps ${next} of ${values.length}`);
    fill(
      output,
      h("b", {}, count(next)),
      ` of ${count(values.length)} clips with this score pass`,
      limit === term.value ? "" : ` (${next >= now ? "+" : "−"}${count(Math.abs(next - now))})`,
    );
    const outside = values.filter((value) => value < bins.low || value > bins.high).length;
    alone.textContent = outside
      ? `${plural(outside, "value")} outside the chart ${outside === 1 ? "is" : "are"} in the outer bars.`
      : "";
    fill(setting, settingOf(number, i));
    node.classList.toggle("changed", thresholds.has(key));
  };
  node.append(plot, h("div", { class: "slider-row" }, slider, box), output, setting, alone);
  card.update = update;
  card.reset = () => (slider.value = term.value);
  return card;
};

const unitText = (column) =>
  column.unit && !["1", "0..1"].includes(column.unit) && !column.name.endsWith(`_${column.unit}`)
    ? ` ${column.unit}`
    : "";

/** The knob that sets a threshold, to copy; without a knob, the comparison of the rule. */
const settingOf = (number, i) => {
  const term = rules[number].terms[i];
  if (term.knob) return command(`${term.knob}=${plainNumber(limitOf(number, i))}`);
  return [
    command(`${term.column} ${term.op} ${plainNumber(limitOf(number, i))}`),
    h("span", { class: "note" }, " no knob: change the rule in the recipe"),
  ];
};

const plainNumber = (value) => String(Number(value.toPrecision(6)));

const fillSummary = (summary, reset) => {
  const result = whatIf();
  const changed = [...thresholds.keys()].map((key) => key.split(":").map(Number));
  const knobs = changed
    .filter(([rule, term]) => rules[rule].terms[term].knob)
    .map(([rule, term]) => `${rules[rule].terms[term].knob}=${plainNumber(limitOf(rule, term))}`);
  fill(
    summary,
    h(
      "div",
      { class: "summary-text" },
      h("b", { class: "kept-total" }, count(result.stays + result.returns)),
      ` clips pass every rule; this run kept ${count(result.kept)}.`,
      result.open ? ` ${plural(result.open, "clip")} not finished.` : "",
      result.leaves ? ` ${count(result.leaves)} kept now would be dropped.` : "",
      result.returns && changed.length
        ? ` ${count(result.returns)} dropped now would pass; later steps have not seen all of them yet.`
        : "",
    ),
    changed.length
      ? h(
          "div",
          { class: "summary-actions" },
          knobs.length ? command(knobs.join(" ")) : null,
          knobs.length && D.run.recipe
            ? copyButton(
                `clipmill try ${D.run.recipe} store=${D.run.store} ${knobs.join(" ")}`,
                "Copy as clipmill try",
              )
            : null,
          h("button", { type: "button", class: "copy", onclick: reset }, "Reset"),
        )
      : null,
  );
};

const scoreCard = (column) => {
  const values = scores(column.name);
  const sorted = Float64Array.from(values).sort();
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  const plot = h("div", { class: "plot" });
  const bins = binning(values);
  histogram(
    plot,
    bins,
    binCounts(bins, values, () => true),
    { height: 110 },
  );
  return h(
    "section",
    { class: "panel score" },
    h("h3", { title: column.meaning }, column.name, h("span", { class: "muted" }, unitText(column))),
    plot,
    note(
      `${plural(values.length, "clip")}; median ${short(at(0.5))}, 5 % below ${short(at(0.05))}, 5 % above ${short(at(0.95))}`,
    ),
  );
};
