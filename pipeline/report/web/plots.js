// Charts by uPlot: histograms, curves and the map. Colors are read from the style sheet, so they follow the theme.

const charts = new Set();
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Keep a chart as wide as its holder, and draw it again when the theme changes. Returns how to reach it. */
const chart = (holder, options, data) => {
  const entry = { holder, plot: null, data };
  const draw = () => {
    if (!holder.isConnected || !holder.clientWidth) return;
    if (entry.plot) entry.plot.destroy();
    entry.plot = new uPlot(
      { legend: { show: false }, ...options(), width: holder.clientWidth },
      entry.data,
      holder,
    );
  };
  entry.draw = draw;
  entry.set = (next) => {
    entry.data = next;
    if (entry.plot) entry.plot.setData(next);
  };
  entry.observer = new ResizeObserver(() => {
    if (!entry.plot) draw();
    else if (Math.abs(entry.plot.width - holder.clientWidth) > 1 && holder.clientWidth)
      entry.plot.setSize({ width: holder.clientWidth, height: entry.plot.height });
  });
  entry.observer.observe(holder);
  charts.add(entry);
  return entry;
};

const clearCharts = () => {
  for (const entry of charts) {
    entry.observer.disconnect();
    if (entry.plot) entry.plot.destroy();
  }
  charts.clear();
};

const redrawCharts = () => charts.forEach((entry) => entry.draw());

const axis = (label, more = {}) => ({
  label,
  labelSize: label ? 20 : 0,
  labelFont: "12px system-ui, sans-serif",
  font: "12px system-ui, sans-serif",
  stroke: color("muted"),
  grid: { stroke: color("line"), width: 1 },
  ticks: { stroke: color("line"), width: 1 },
  ...more,
});

const BINS = 32;

/**
 * The bins of a histogram. Its range is from the 0.5th to the 99.5th percentile and contains the threshold;
 * values outside are in the first and last bin.
 */
const binning = (values, limits = []) => {
  const sorted = Float64Array.from(values).sort();
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  let low = Math.min(at(0.005), ...limits);
  let high = Math.max(at(0.995), ...limits);
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const pad = limits.length ? (high - low) * 0.04 : 0;
  [low, high] = [low >= 0 ? Math.max(0, low - pad) : low - pad, high + pad];
  const width = (high - low) / BINS;
  const bin = (value) => Math.max(0, Math.min(BINS - 1, Math.floor((value - low) / width)));
  const edges = Array.from({ length: BINS }, (_, i) => low + i * width);
  return { low, high, edges, bin };
};

/** Counts per bin of all values, and of those that pass. */
const binCounts = (bins, values, isKept) => {
  const all = new Array(BINS).fill(0);
  const kept = new Array(BINS).fill(0);
  for (const value of values) {
    const at = bins.bin(value);
    all[at] += 1;
    if (isKept(value)) kept[at] += 1;
  }
  return [bins.edges, all, kept];
};

/** Draw a histogram. `limit` returns the threshold, or null; the returned chart is updated with `set`. */
const histogram = (holder, bins, counts, { limit = () => null, label = "", height = 150 } = {}) => {
  const bars = uPlot.paths.bars({ size: [1, Infinity], gap: 1, align: 1 });
  const options = () => ({
    height,
    cursor: { show: false },
    scales: {
      x: { time: false, range: [bins.low, bins.high] },
      y: { range: (u, low, high) => [0, (high || 1) * 1.08] },
    },
    axes: [
      axis(label, { size: 26, space: 56, grid: { show: false } }),
      axis("", {
        size: 42,
        space: 34,
        values: (u, marks) => marks.map((mark) => (Number.isInteger(mark) ? count(mark) : "")),
      }),
    ],
    series: [
      {},
      { paths: bars, fill: color(limit() === null ? "accent" : "dropped"), points: { show: false } },
      { paths: bars, fill: color(limit() === null ? "accent" : "kept"), points: { show: false } },
    ],
    hooks: {
      draw: [
        (u) => {
          if (limit() === null) return;
          const x = u.valToPos(limit(), "x", true);
          u.ctx.save();
          u.ctx.strokeStyle = color("text");
          u.ctx.lineWidth = 2 * devicePixelRatio;
          u.ctx.beginPath();
          u.ctx.moveTo(x, u.bbox.top);
          u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
          u.ctx.stroke();
          u.ctx.restore();
        },
      ],
    },
  });
  return chart(holder, options, counts);
};

const SERIES_COLORS = ["accent", "kept", "borderline", "dropped", "rejected", "muted"];

/** Draw curves over steps, with axes and the values under the cursor in `readout`. */
const curves = (holder, x, series, { xLabel, yLabel, log, readout }) => {
  const options = () => ({
    height: 300,
    cursor: { drag: { x: true, y: false } },
    scales: { x: { time: false }, y: log ? { distr: 3 } : {} },
    axes: [axis(xLabel, { size: 34 }), axis(yLabel, { size: 64 })],
    series: [
      {},
      ...series.map((each, i) => ({
        label: each.name,
        stroke: color(SERIES_COLORS[i % SERIES_COLORS.length]),
        width: 2,
        spanGaps: true,
        points: { show: x.length < 40 },
      })),
    ],
    hooks: {
      setCursor: [
        (u) => {
          const at = u.cursor.idx;
          if (at === null || at === undefined) return;
          readout.textContent = [
            `${xLabel} ${short(x[at])}`,
            ...series.map((s) => `${s.name} ${short(s.y[at])}`),
          ].join(" · ");
        },
      ],
    },
  });
  return chart(holder, options, [x, ...series.map((each) => each.y)]);
};

/** A range with room for the points at its ends. */
const padded = (plot, low, high) => {
  const room = (high - low || 1) * 0.04;
  return [low - room, high + room];
};

/** Draw points in colored groups; `x` is ascending, and each group has null where a point is not its own. */
const scatter = (holder, x, groups, { onready, height }) => {
  const options = () => ({
    height,
    cursor: { points: { show: false }, x: false, y: false, drag: { x: true, y: true, uni: 20 } },
    scales: { x: { time: false, range: padded }, y: { range: padded } },
    axes: [axis("component 1", { size: 34 }), axis("component 2", { size: 48 })],
    series: [
      {},
      ...groups.map((group) => ({
        paths: () => null,
        points: {
          show: true,
          size: x.length > 2000 ? 4 : 8,
          width: 0.5,
          fill: color(group.color) || group.color,
          stroke: color("surface"),
        },
      })),
    ],
    hooks: { ready: [onready] },
  });
  return chart(holder, options, [x, ...groups.map((group) => group.y)]);
};
