// A table that sorts by any column and grows by pages.

/**
 * Columns: key, label, title, numeric, get (the value that sorts), text or render (what is shown). `state` may
 * hold the sort across visits.
 */
const sortableTable = (columns, rows, { label, state = {}, page = 100, onrow = null } = {}) => {
  const body = h("tbody");
  const more = h("button", { type: "button", class: "more" });
  let sorted = rows;
  let shown = 0;
  const heads = columns.map((column) => {
    const button = h("button", { type: "button", title: column.title || column.label }, column.label);
    const head = h("th", { scope: "col", class: column.numeric ? "n" : "" }, button);
    button.addEventListener("click", () => {
      const isSame = state.key === column.key;
      state.down = isSame ? !state.down : Boolean(column.numeric);
      state.key = column.key;
      sort();
    });
    return head;
  });
  const cell = (column, row) => {
    const content = column.render
      ? column.render(row)
      : userText(column.text ? column.text(row) : String(column.get(row) ?? "–"));
    return h(
      "td",
      { class: [column.numeric ? "n" : "", column.wide ? "long" : ""].join(" ").trim() },
      content,
    );
  };
  const grow = () => {
    const next = sorted.slice(shown, shown + page);
    body.append(
      ...next.map((row) =>
        h(
          "tr",
          onrow ? onrow(row) : {},
          columns.map((column) => cell(column, row)),
        ),
      ),
    );
    shown += next.length;
    more.hidden = shown >= sorted.length;
    more.textContent = `Show ${count(Math.min(page, sorted.length - shown))} more (${count(shown)} of ${count(sorted.length)} shown)`;
  };
  const sort = () => {
    const column = columns.find((each) => each.key === state.key);
    sorted = column
      ? [...rows].sort((one, two) => compare(column.get(one), column.get(two), state.down))
      : rows;
    heads.forEach((head, i) =>
      head.setAttribute(
        "aria-sort",
        columns[i].key !== state.key ? "none" : state.down ? "descending" : "ascending",
      ),
    );
    body.replaceChildren();
    shown = 0;
    grow();
  };
  more.addEventListener("click", grow);
  sort();
  const table = h(
    "table",
    { class: "sortable", "aria-label": label },
    h("thead", {}, h("tr", {}, heads)),
    body,
  );
  return h(
    "div",
    {},
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table),
    more,
  );
};

/** A search box with a label; `onsearch` receives the words. */
const searchBox = (placeholder, value, onsearch) => {
  const box = h("input", {
    type: "search",
    class: "search",
    placeholder,
    "aria-label": placeholder,
    value,
    "data-search": true,
    autocomplete: "off",
    spellcheck: "false",
  });
  let timer = 0;
  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => onsearch(box.value), 80);
  });
  return box;
};

const matches = (text, query) =>
  query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
