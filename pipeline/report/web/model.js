// The data of the page, and the questions that the views ask about it.

const D = JSON.parse(document.getElementById("data").textContent);
const C = D.clips || null;
const V = D.videos || null;
const N = C ? C.id.length : 0;
const COUNTED = C ? N - C.extra : 0; // the rows after these were added as originals of duplicates
const rules = D.rules || [];
const clipAt = new Map((C ? C.id : []).map((id, row) => [id, row]));
const originalOf = new Map(C ? C.originals : []);
const copiesOf = new Map();
for (const [row, original] of originalOf) copiesOf.set(original, [...(copiesOf.get(original) || []), row]);

const outcomeOf = (row) => C.outcomes[C.outcome[row]];
const clipValue = (row, name) => (C.values[name] ? C.values[name][row] : null);
const labelOf = (step) => (D.labels && D.labels[step]) || step;
const columnOf = (name) => C.columns.find((column) => column.name === name);

const videoRow = (row) => (V ? (V.of_clip[row] ?? -1) : -1);
const videoName = (row) => {
  const video = videoRow(row);
  return video < 0 ? clipValue(row, "source") || "" : V.name[video];
};
const clipSpan = (row) => [clipValue(row, "start_s"), clipValue(row, "end_s")];
const clipSeconds = (row) => {
  const [start, end] = clipSpan(row);
  return start === null || end === null ? clipValue(row, "duration_s") : end - start;
};

const outcomeText = (row) => {
  const outcome = outcomeOf(row);
  if (outcome.kind === "kept") return "kept";
  if (outcome.kind === "dropped") return labelOf(outcome.step);
  if (outcome.kind === "failed") return `error in ${outcome.step}`;
  return `${outcome.kind}: ${outcome.step}`;
};

/** The reason of an outcome: for a dropped clip, the values that the rule read. Long fractions are rounded. */
const reasonText = (row) =>
  String(C.reason[row] || "").replace(/-?\d+\.\d{5,}(e[-+]?\d+)?/g, (text) => short(Number(text)));

/** Whether a value is on the kept side of a threshold; null if it is missing. */
const passes = (value, op, limit) => {
  if (value === null || value === undefined) return null;
  if (op === ">") return value > limit;
  if (op === ">=") return value >= limit;
  return op === "<" ? value < limit : value <= limit;
};

/** The thresholds that the sliders set, by "rule:term"; absent where they are as in the run. */
const thresholds = new Map();
const limitOf = (rule, term) => thresholds.get(`${rule}:${term}`) ?? rules[rule].terms[term].value;

/** Give each clip the answer of its group: of all its clips, or of any. A clip without an answer has no say. */
const together = (found, rule) => {
  const decisive = rule.when === "any" ? 1 : 0;
  const verdicts = new Map();
  rule.groups.forEach((group, row) => {
    if (found[row] >= 0 && verdicts.get(group) !== decisive) verdicts.set(group, found[row]);
  });
  rule.groups.forEach((group, row) => (found[row] = verdicts.get(group) ?? -1));
};

const answered = new Map();
/**
 * The answers of a rule for all clips with the thresholds of the sliders: 1, 0, or -1 if a value is missing.
 * They are computed again only if a threshold of the rule changed.
 */
const answers = (number) => {
  const rule = rules[number];
  const limits = rule.terms.map((_, i) => limitOf(number, i));
  const known = answered.get(number);
  if (known && known.limits.every((limit, i) => limit === limits[i])) return known.found;
  const found = new Int8Array(N).fill(1);
  if (!rule.terms.length)
    for (let row = 0; row < N; row += 1) found[row] = { 1: 1, 0: 0 }[rule.answers[row]] ?? -1;
  rule.terms.forEach((term, i) => {
    for (let row = 0; row < N; row += 1) {
      const one = passes(clipValue(row, term.column), term.op, limits[i]);
      if (one === false) found[row] = 0;
      else if (one === null && found[row] === 1) found[row] = -1;
    }
  });
  if (rule.groups.length) together(found, rule);
  answered.set(number, { limits, found });
  return found;
};

/**
 * What the thresholds of the sliders would keep, from stored values. `stays`: clips that are kept in the run
 * and still pass. `returns`: clips that a rule dropped and that now pass every rule with stored values; steps
 * after that rule have not seen them. `leaves`: kept clips that a rule would now drop.
 * `open`: clips that a step has not processed yet.
 */
const whatIf = () => {
  const result = { stays: 0, returns: 0, leaves: 0, kept: 0, open: 0 };
  const every = rules.map((_, number) => answers(number));
  for (let row = 0; row < COUNTED; row += 1) {
    const kind = outcomeOf(row).kind;
    if (kind === "not finished") result.open += 1;
    if (kind !== "kept" && kind !== "dropped") continue;
    result.kept += kind === "kept" ? 1 : 0;
    const isOut = every.some((found) => found[row] === 0);
    if (kind === "kept") result[isOut ? "leaves" : "stays"] += 1;
    else if (!isOut) result.returns += 1;
  }
  return result;
};

const FIXED = ["all", "kept", "borderline", "duplicates"];

/** The groups of clips, in the order of the menu: their rows, and the exact total of the run. */
const clipGroups = () => {
  const rows = [...Array(COUNTED).keys()];
  const groups = [
    { key: "all", label: "All", kind: "all", rows, total: C.total },
    { key: "kept", label: "Kept", kind: "kept", rows: rows.filter((r) => outcomeOf(r).kind === "kept") },
    {
      key: "borderline",
      label: "Borderline",
      kind: "borderline",
      rows: rows.filter((r) => C.borderline[r] !== null),
    },
  ];
  if (originalOf.size)
    groups.push({ key: "duplicates", label: "Duplicates", kind: "duplicates", rows: [...originalOf.keys()] });
  C.outcomes.forEach((outcome, number) => {
    if (outcome.kind === "kept") return;
    const label =
      outcome.kind === "dropped"
        ? labelOf(outcome.step)
        : `${outcome.kind === "failed" ? "error" : outcome.kind}: ${outcome.step}`;
    const line = D.funnel.find((each) => each.step === outcome.step) || {};
    const total = { dropped: line.dropped, rejected: line.rejected, failed: line.errors }[outcome.kind];
    groups.push({
      key: `${outcome.kind}-${outcome.step}`,
      label,
      kind: outcome.kind,
      total,
      rows: rows.filter((r) => C.outcome[r] === number),
    });
  });
  const [fixed, others] = [
    groups.filter((group) => FIXED.includes(group.kind)),
    groups.filter((group) => !FIXED.includes(group.kind)),
  ];
  return [...fixed, ...others.sort((one, two) => two.rows.length - one.rows.length)].filter(
    (group) => group.rows.length || group.kind === "all",
  );
};

const groupText = new Map();
/** The text of a clip in which the search looks. */
const searchText = (row) => {
  if (!groupText.has(row)) {
    const texts = C.columns
      .filter((column) => column.type === "text")
      .map((column) => C.values[column.name][row]);
    groupText.set(
      row,
      [C.id[row], videoName(row), outcomeText(row), reasonText(row), ...texts].join("\n").toLowerCase(),
    );
  }
  return groupText.get(row);
};

/** Compare two values of a column; missing ones are last in either direction. */
const compare = (one, two, down) => {
  if (one === two) return 0;
  if (one === null || one === undefined) return 1;
  if (two === null || two === undefined) return -1;
  const order = typeof one === "string" ? one.localeCompare(String(two)) : Number(one) - Number(two);
  return down ? -order : order;
};
