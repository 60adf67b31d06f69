// Elements, text and numbers. Every text from the data becomes a text node, never markup.

/** Make an element. `on…` attributes are listeners, `style` is an object, children are nodes or texts. */
const h = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style")
      for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    else if (name === "class") node.className = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return node;
};

/** A text of the user, isolated so that right-to-left names do not disturb the text around them. */
const userText = (text) => h("bdi", {}, text);

const count = (number) => Math.round(number).toLocaleString("en-US");

const plural = (number, one, many = `${one}s`) => `${count(number)} ${Math.round(number) === 1 ? one : many}`;

const percent = (part, whole) => {
  if (!whole) return "–";
  const share = (100 * part) / whole;
  return `${share > 0 && share < 1 ? share.toFixed(1) : Math.round(share)} %`;
};

/** A number with at most `digits` significant digits, without an exponent where it is readable. */
const short = (value, digits = 4) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  const rounded = Number(value.toPrecision(digits));
  return Math.abs(rounded) < 1000 ? String(rounded) : rounded.toLocaleString("en-US");
};

const clock = (seconds) => {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.floor(seconds);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = seconds - Math.floor(seconds / 60) * 60;
  const tail = rest.toFixed(1).padStart(4, "0");
  return whole >= 3600
    ? `${Math.floor(whole / 3600)}:${String(minutes).padStart(2, "0")}:${tail}`
    : `${minutes}:${tail}`;
};

/** A duration as a person says it: 2.4 h, 12.5 min, 48 s. */
const span = (seconds) => {
  if (seconds >= 3600) return `${short(seconds / 3600, 3)} h`;
  if (seconds >= 60) return `${short(seconds / 60, 3)} min`;
  return `${short(seconds, 3)} s`;
};

const bytes = (size) => {
  if (size >= 1e9) return `${short(size / 1e9, 3)} GB`;
  if (size >= 1e6) return `${short(size / 1e6, 3)} MB`;
  return size >= 1e3 ? `${short(size / 1e3, 3)} kB` : `${size} bytes`;
};

/** A value of a column as text, with its unit unless the name of the column ends with it. */
const valueText = (value, column) => {
  if (value === null || value === undefined) return "–";
  if (value === true) return "yes";
  if (value === false) return "no";
  if (typeof value !== "number") return String(value);
  if (column && column.unit === "bytes") return bytes(value);
  const unit = column && column.unit && !["1", "0..1"].includes(column.unit) ? ` ${column.unit}` : "";
  return short(value, 5) + unit;
};

/** A button that copies a text, and says so. */
const copyButton = (text, label = "Copy") => {
  const button = h("button", { class: "copy", type: "button", "aria-label": `Copy: ${text}` }, label);
  button.addEventListener("click", async () => {
    const done = await copyText(text);
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
};

const copyText = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "offscreen", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
};

/** A command or setting with a button that copies it. */
const command = (text) => h("span", { class: "command" }, h("code", {}, text), copyButton(text));

/** Replace the content of an element; children as for `h`. */
const fill = (node, ...children) => {
  node.replaceChildren(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return node;
};

const section = (title, ...children) => h("section", {}, title ? h("h2", {}, title) : null, ...children);

const note = (...children) => h("p", { class: "note" }, ...children);
