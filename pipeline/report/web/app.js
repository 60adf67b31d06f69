// The frame of the page: navigation by the hash of the address, theme, and keys.

const TABS = [
  ["overview", "Overview", overviewPage, true],
  ["thresholds", "Thresholds", thresholdsPage, Boolean(C && N)],
  ["clips", "Clips", clipsPage, Boolean(C && N)],
  ["map", "Map", mapPage, Boolean(D.map)],
  ["videos", "Videos", videosPage, Boolean(V && V.id.length)],
  ["rejected", "Rejected", rejectedPage, D.rejects.length > 0],
  ["training", "Training", trainingPage, D.curves.length + D.samples.length > 0],
  ["run", "Run", runPage, true],
].filter(([, , , isShown]) => isShown);
const PAGES = { clip: ["clips", clipPage], video: ["videos", videoPage] };
const scrolls = new Map();
const content = document.getElementById("content");
let route = "";

const show = () => {
  const hash = decodeURIComponent(location.hash.slice(1));
  if (hash === "content") {
    content.focus();
    return;
  }
  scrolls.set(route, window.scrollY);
  const [name, argument = ""] = hash.split(/\/(.*)/s);
  const tab = TABS.find(([key]) => key === name) || TABS[0];
  const [key, make] = PAGES[name] && D[`${name}s`] ? PAGES[name] : [tab[0], tab[2]];
  clearCharts();
  content.replaceChildren(make(argument));
  redrawCharts();
  for (const link of document.querySelectorAll("#tabs a"))
    link.setAttribute("aria-current", link.hash === `#${key}` ? "page" : "false");
  document.title = `${content.querySelector("h1")?.textContent || key} – ${D.run.dag} ${D.run.run}`;
  const isSame = route.split("/")[0] === name;
  route = hash;
  document.body.dataset.route = hash;
  window.scrollTo(0, isSame && name === "clips" ? window.scrollY : scrolls.get(hash) || 0);
  document
    .querySelector("#tabs [aria-current=page]")
    ?.scrollIntoView({ block: "nearest", inline: "nearest" });
};

/** The theme that the user chose; without a choice, that of the system. */
const storedTheme = () => {
  try {
    return localStorage.getItem("clipmill-theme");
  } catch {
    return null;
  }
};

const setTheme = (theme) => {
  if (theme) document.documentElement.dataset.theme = theme;
  redrawCharts();
  try {
    if (theme) localStorage.setItem("clipmill-theme", theme);
  } catch {
    // a page that may not store anything keeps the theme until it is closed
  }
};

const isDark = () =>
  (document.documentElement.dataset.theme ||
    (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

const toggleTheme = () => {
  setTheme(isDark() ? "light" : "dark");
  themeButton.setAttribute("aria-pressed", String(isDark()));
};

const themeButton = h(
  "button",
  {
    type: "button",
    id: "theme",
    class: "button",
    "aria-label": "Dark theme",
    title: "Switch between light and dark (t)",
    onclick: toggleTheme,
  },
  h("span", { class: "half", "aria-hidden": "true" }),
);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "Escape" && isTyping) event.target.blur();
  if (isTyping) return;
  if (event.key === "/") document.querySelector("[data-search]")?.focus();
  else if (event.key === "t") toggleTheme();
  else if (/^[1-9]$/.test(event.key) && TABS[event.key - 1]) location.hash = `#${TABS[event.key - 1][0]}`;
  else if (event.key.startsWith("Arrow")) document.querySelector(`[data-key=${event.key}]`)?.click();
  else return;
  if (event.key === "/") event.preventDefault();
});

document.getElementById("header").append(
  h(
    "a",
    { class: "brand", href: "#overview" },
    "Clipmill",
    h("span", { class: "muted" }, " ", userText(D.run.dag)),
  ),
  h(
    "nav",
    { id: "tabs", "aria-label": "Sections" },
    TABS.map(([key, label]) => h("a", { href: `#${key}` }, label)),
  ),
  themeButton,
);
setTheme(storedTheme());
themeButton.setAttribute("aria-pressed", String(isDark()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawCharts);
window.addEventListener("hashchange", show);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  content.focus();
});
show();
