// Cards of clips: a still that plays on hover or focus, what happened to the clip, and why.

const IMAGE = "data:image/webp;base64,";
const PLAY_MS = 60; // a pointer that only crosses a card starts nothing

/** The picture of a clip. It plays while the pointer or the focus is on `host`, if the file has a preview. */
const picture = (row, host) => {
  const still = C.stills[row];
  const preview = C.previews[row];
  if (!still) return h("div", { class: "picture empty" }, "no still in this file");
  const image = h("img", {
    src: IMAGE + still,
    alt: `still of clip ${C.id[row]}`,
    loading: "lazy",
    decoding: "async",
  });
  const frame = h("div", { class: "picture" }, image);
  if (!preview) return frame;
  frame.classList.add("plays");
  let timer = 0;
  const play = () => {
    timer = setTimeout(() => {
      image.src = IMAGE + preview;
      frame.classList.add("playing");
    }, PLAY_MS);
  };
  const stop = () => {
    clearTimeout(timer);
    image.src = IMAGE + still;
    frame.classList.remove("playing");
  };
  const target = host || frame;
  target.addEventListener("mouseenter", play);
  target.addEventListener("mouseleave", stop);
  target.addEventListener("focus", play);
  target.addEventListener("blur", stop);
  target.addEventListener("touchstart", play, { passive: true });
  return frame;
};

const badge = (row) => {
  const kind = outcomeOf(row).kind;
  return h("span", { class: `badge ${kind.replace(" ", "-")}` }, outcomeText(row));
};

/** The nearest threshold of a borderline clip: "noise 1.75, limit 1.8". */
const nearText = (row) => {
  const number = C.borderline[row];
  if (number === null || number === undefined) return "";
  return rules[number].terms
    .map((term) => `${term.column} ${short(clipValue(row, term.column))} (${term.op} ${short(term.value)})`)
    .join(", ");
};

/** The line under a card: the reason of its outcome, else the nearest threshold. */
const cardReason = (row) => {
  const reason = reasonText(row);
  const text =
    outcomeOf(row).kind === "dropped" && C.borderline[row] !== null ? nearText(row) : reason || nearText(row);
  return text ? h("p", { class: "reason" }, userText(text)) : null;
};

/** A card that links to the page of the clip. `extra` is shown below, such as the value that sorts the list. */
const clipCard = (row, extra = null) => {
  const card = h("a", { class: "card", href: `#clip/${C.id[row]}`, "data-row": row });
  const caption = clipValue(row, "caption");
  const [start] = clipSpan(row);
  const name = videoName(row);
  card.append(
    picture(row, card),
    h(
      "div",
      { class: "card-text" },
      h(
        "div",
        { class: "card-head" },
        badge(row),
        h(
          "span",
          { class: "time" },
          start === null ? "" : `${clock(start)} · ${span(clipSeconds(row) || 0)}`,
        ),
      ),
      caption ? h("p", { class: "caption" }, userText(caption)) : null,
      name ? h("p", { class: "source" }, userText(name)) : null,
      cardReason(row),
      extra ? h("p", { class: "reason" }, userText(extra)) : null,
    ),
  );
  return card;
};

/** A duplicate beside the clip that it repeats. */
const pairCard = (row) => {
  const similarity = clipValue(row, "duplicate_similarity");
  const kind = clipValue(row, "duplicate_kind");
  const text = [kind, similarity === null ? "" : `similarity ${short(similarity, 3)}`]
    .filter(Boolean)
    .join(", ");
  return h(
    "div",
    { class: "pair" },
    clipCard(row),
    h("div", { class: "pair-link", "aria-hidden": "true" }, "="),
    clipCard(originalOf.get(row)),
    h("p", { class: "pair-text" }, "duplicate of the clip beside it", text ? `: ${text}` : ""),
  );
};

/** How many of some clips have a still and a preview in this file. */
const pictureCounts = (rows) => {
  const stills = rows.filter((row) => C.stills[row]).length;
  const previews = rows.filter((row) => C.previews[row]).length;
  return `${count(stills)} with a still, ${count(previews)} of these play`;
};

/** A grid of cards that grows by pages. */
const grid = (rows, make, page = 48) => {
  const list = h("div", { class: "grid" });
  const more = h("button", { type: "button", class: "more" });
  const holder = h("div", {}, list, more);
  let shown = 0;
  const grow = () => {
    list.append(...rows.slice(shown, shown + page).map((row) => make(row)));
    shown = Math.min(rows.length, shown + page);
    more.textContent = `Show ${count(Math.min(page, rows.length - shown))} more (${count(shown)} of ${count(rows.length)} shown)`;
    more.hidden = shown >= rows.length;
  };
  more.addEventListener("click", grow);
  grow();
  return holder;
};

/** The page of one clip: its picture, outcome, values, originals and the neighbors in the list. */
const clipPage = (id) => {
  const row = clipAt.get(id);
  if (row === undefined) return note(`This file does not contain a clip ${id}.`);
  const name = videoName(row);
  const video = videoRow(row);
  const [start, end] = clipSpan(row);
  const originals = [originalOf.get(row), ...(copiesOf.get(row) || [])].filter((each) => each !== undefined);
  const large = picture(row);
  large.classList.add("large");
  large.tabIndex = C.previews[row] ? 0 : -1;
  const place = clipsView.rows.indexOf(row);
  const step = (by) => {
    const next = clipsView.rows[place + by];
    return place >= 0 && next !== undefined ? `#clip/${C.id[next]}` : null;
  };
  const link = (by, text, key) =>
    h(
      "a",
      { class: "button", href: step(by) || "#clips", "aria-disabled": !step(by), "data-key": key },
      text,
    );
  return h(
    "div",
    {},
    h(
      "nav",
      { class: "crumbs", "aria-label": "Clip" },
      h("a", { href: "#clips" }, "Clips"),
      h("span", { class: "grow" }),
      step(-1) && link(-1, "← Previous", "ArrowLeft"),
      step(1) && link(1, "Next →", "ArrowRight"),
    ),
    h("h1", {}, "Clip ", h("code", {}, id)),
    h(
      "div",
      { class: "split" },
      h("div", {}, large, C.previews[row] ? note("Point at the picture to play it.") : null),
      h(
        "div",
        {},
        h(
          "p",
          {},
          badge(row),
          reasonText(row) ? h("span", { class: "reason inline" }, userText(reasonText(row))) : null,
        ),
        nearText(row) ? note(`Borderline: ${nearText(row)}`) : null,
        clipValue(row, "caption") ? h("blockquote", {}, userText(clipValue(row, "caption"))) : null,
        name
          ? h(
              "p",
              {},
              "From ",
              video < 0 ? userText(name) : h("a", { href: `#video/${V.id[video]}` }, userText(name)),
              start === null ? "" : `, ${clock(start)} to ${clock(end)}`,
            )
          : null,
        h("p", {}, command(`clipmill explain ${id} store=${D.run.store}`)),
      ),
    ),
    originals.length
      ? section(
          "Duplicates",
          h(
            "div",
            { class: "grid" },
            originals.map((each) => clipCard(each)),
          ),
        )
      : null,
    section("Values", valueTable(C, row)),
  );
};

/** All values of a clip or video, by the step that measured them. */
const valueTable = (table, row) => {
  const steps = new Map();
  for (const column of table.columns) {
    const value = table.values[column.name][row];
    if (value !== null) steps.set(column.step, [...(steps.get(column.step) || []), [column, value]]);
  }
  return h(
    "div",
    { class: "values" },
    [...steps].map(([step, entries]) =>
      h(
        "div",
        { class: "panel" },
        h("h3", {}, step),
        h(
          "dl",
          {},
          entries.map(([column, value]) =>
            h(
              "div",
              { title: column.meaning },
              h("dt", {}, column.name),
              h("dd", {}, userText(valueText(value, column))),
            ),
          ),
        ),
      ),
    ),
  );
};
