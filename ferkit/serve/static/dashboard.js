// The dashboard: trends as charts, and as numbers.
import { $, call, colourOf, make, percent, theModel } from "./common.js";

const EVERY = 10_000; // milliseconds between looks while it keeps up to date
const STEPS = { minute: 60, hour: 3600, day: 86400 };
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const dark = matchMedia("(prefers-color-scheme: dark)");
const charts = [];
let about;
let last = null;
let asked = 0;
let timer = 0;

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (label) => (label === "not sure" ? css("--unsure") : colourOf(about, label));
const whole = (n) => (n === null || n === undefined ? "–" : n.toLocaleString("en"));

function span() {
  const chosen = $("#span").value;
  const now = Date.now() / 1000;
  if (chosen !== "own") return [now - Number(chosen), now];
  const [from, to] = ["#from", "#to"].map((field) => new Date($(field).value).getTime() / 1000);
  return [Number.isFinite(from) ? from : now - 86400, Number.isFinite(to) ? to : now];
}

function step(seconds) {
  const chosen = $("#step").value;
  if (chosen !== "auto") return chosen;
  return seconds <= 4 * 3600 ? "minute" : seconds <= 14 * 86400 ? "hour" : "day";
}

function query() {
  const [start, end] = span();
  const words = new URLSearchParams({ start: start.toFixed(0), end: end.toFixed(0), step: step(end - start), zone });
  if ($("#source").value) words.append("source", $("#source").value);
  return words;
}

async function look() {
  clearTimeout(timer);
  const mine = (asked += 1);
  const words = query();
  $("#export").href = `/api/trends.csv?${words}`;
  try {
    const [trends, sources] = await Promise.all([call(`/api/trends?${words}`), call("/api/sources")]);
    if (mine !== asked) return;
    $("#trouble").hidden = true;
    show(trends);
    showSources(sources);
  } catch (error) {
    if (mine === asked) trouble(error.message);
  }
  if ($("#follow").checked) timer = setTimeout(look, EVERY);
}

function trouble(text) {
  $("#trouble").textContent = text;
  $("#trouble").hidden = false;
}

function show(trends) {
  last = trends;
  showChoices(trends.sources);
  const { total, hidden } = trends;
  $("#n").textContent = total.hidden ? "under 10" : whole(total.n);
  $("#people").textContent = whole(total.people);
  $("#smiles").textContent = percent(total.smiles);
  $("#unsure").textContent = percent(total.not_sure);
  const parts = hidden ? ` ${hidden} ${hidden === 1 ? "group" : "groups"} of fewer than ${trends.least} readings hidden.` : "";
  $("#status").textContent = `Times are ${zone}, by ${trends.step}.${parts}`;
  showCameras(trends);
  showTable(trends);
  showCharts(trends);
}

function showChoices(names) {
  const now = $("#source").value;
  const options = [...$("#source").options].slice(1).map((option) => option.value);
  if (options.join("\n") === names.join("\n")) return;
  $("#source").replaceChildren(make("option", { value: "" }, "all"), ...names.map((name) => make("option", { value: name }, name)));
  $("#source").value = names.includes(now) ? now : "";
}

function showCameras({ cameras, labels }) {
  const rows = cameras.map((camera) => {
    const name = make("th", { scope: "row" }, camera.source);
    if (camera.hidden) return make("tr", {}, name, make("td", { class: "hidden-group", colspan: 5 }, "fewer than 10 readings, hidden"));
    const said = labels.map((label) => `${label} ${percent(camera.counts[label] / camera.n)}`).join(", ");
    const stack = make("div", { class: "stack", role: "img", "aria-label": said, title: said });
    for (const label of labels) {
      const part = make("span");
      part.style.width = `${(100 * camera.counts[label]) / camera.n}%`;
      part.style.background = colour(label);
      stack.append(part);
    }
    const cell = (text) => make("td", { class: "n" }, text);
    return make("tr", {}, name, make("td", {}, stack), cell(whole(camera.n)), cell(whole(camera.people)), cell(percent(camera.smiles)), cell(percent(camera.not_sure)));
  });
  if (!rows.length) rows.push(make("tr", {}, make("td", { colspan: 6, class: "quiet" }, "No readings in this span.")));
  $("#cameras tbody").replaceChildren(...rows);
}

function when(seconds, kind) {
  const day = { day: "numeric", month: "short", timeZone: zone };
  const options = kind === "day" ? { ...day, weekday: "short" } : { ...day, hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return new Date(1000 * seconds).toLocaleString("en-GB", options);
}

function showTable({ groups, labels, step: kind }) {
  if (!$("#numbers").open) return;
  const head = make("tr", {}, ...["Time", "Readings", "People", ...labels].map((name, i) => make("th", { scope: "col", class: i ? "n" : null }, name)));
  $("#table thead").replaceChildren(head);
  const rows = groups.slice(-1000).map((group) => {
    const time = make("th", { scope: "row" }, when(group.start, kind));
    if (group.hidden) return make("tr", {}, time, make("td", { class: "hidden-group", colspan: labels.length + 2 }, "fewer than 10 readings, hidden"));
    const cell = (text) => make("td", { class: "n" }, text);
    return make("tr", {}, time, cell(whole(group.n)), cell(whole(group.people)), ...labels.map((label) => cell(percent(group.counts[label] / group.n))));
  });
  $("#table tbody").replaceChildren(...rows);
}

function showSources({ sources, store }) {
  const rows = sources.map((one) => {
    const state = make("span", { class: `state ${one.state}` }, one.state);
    const why = one.reason && one.state !== "watching" ? make("div", { class: "small quiet" }, one.reason) : null;
    return make("tr", {}, make("th", { scope: "row" }, one.source), make("td", {}, state, why), make("td", { class: "n" }, one.frames_a_second.toFixed(1)), make("td", { class: "n" }, whole(one.people_now)));
  });
  if (!rows.length) rows.push(make("tr", {}, make("td", { colspan: 4, class: "quiet" }, "None. Start the server with --source to watch cameras.")));
  $("#watched tbody").replaceChildren(...rows);
  if (!store) return;
  const kept = store.retention_days ? `deleted after ${store.retention_days} days` : "kept until you delete them";
  $("#store").textContent = `Store ${store.store}: ${whole(store.written)} readings written since the start, ${whole(store.waiting)} waiting, ${whole(store.lost)} lost. Readings are ${kept}; pictures are never stored.`;
  if (store.failing) trouble(`The store cannot be written. ${whole(store.waiting)} readings wait, ${whole(store.lost)} are lost.`);
}

/** Times and values, with a gap where a span is hidden or empty. */
function columns({ groups, step: kind, start, end }, values) {
  const seconds = STEPS[kind];
  const times = [];
  const rows = values.map(() => []);
  let before = null;
  for (const group of groups) {
    if (before !== null && group.start - before > 1.5 * seconds) {
      times.push(before + seconds);
      rows.forEach((row) => row.push(null));
    }
    times.push(group.start);
    values.forEach((value, i) => rows[i].push(group.hidden ? null : value(group)));
    before = group.start;
  }
  return { data: [times, ...rows], range: [Math.min(start, times[0] ?? start) - seconds / 2, Math.max(end, (times.at(-1) ?? end) + seconds / 2)] };
}

const axis = (more) => ({
  stroke: css("--quiet"),
  font: "12px system-ui, sans-serif",
  grid: { stroke: css("--line"), width: 1 },
  ticks: { stroke: css("--line"), width: 1, size: 5 },
  ...more,
});

const CLOCK = [
  [86400, "{D} {MMM}", null, null, null, null, null, null, 1],
  [3600, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
];

function plot(place, { data, range }, series, { axes = [axis({})], scales = {}, height = 220, legend = null, names = [], show: text = String } = {}) {
  const box = $(place);
  box.replaceChildren();
  if (!data[0].length || data.slice(1).every((row) => row.every((v) => v === null))) {
    box.append(make("p", { class: "none" }, "No span with at least 10 readings."));
    if (legend) $(legend).replaceChildren();
    return;
  }
  const items = legend ? names.map((one) => legendItem(one)) : [];
  if (legend) $(legend).replaceChildren(...items.map((item) => item.element));
  const hooks = { setCursor: [(u) => items.forEach((item, i) => item.set(u.cursor.idx === null || u.cursor.idx === undefined ? "" : text(i, u.cursor.idx)))] };
  const chart = new uPlot(
    {
      width: box.clientWidth,
      height,
      tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), zone),
      scales: { x: { time: true, range }, ...scales },
      axes: [axis({ values: CLOCK, space: 70 }), ...axes],
      cursor: { points: { show: false }, drag: { x: false, y: false } },
      legend: { show: false },
      series: [{}, ...series],
      hooks,
    },
    data,
    box,
  );
  charts.push(chart);
}

function legendItem({ name, colour: ink }) {
  const swatch = make("span", { class: "swatch" });
  swatch.style.background = ink;
  const value = make("span", { class: "quiet" });
  const element = make("li", {}, swatch, name, value);
  return { element, set: (shown) => (value.textContent = shown) };
}

function showCharts(trends) {
  charts.splice(0).forEach((chart) => chart.destroy());
  const share = (label) => (group) => group.counts[label] / group.n;
  const labels = trends.labels.filter((label) => trends.groups.some((group) => !group.hidden && group.counts[label]));
  // bars stand on each other: the highest is drawn first, each lower one over it
  const upTo = labels.map((_, i) => (group) => labels.slice(0, i + 1).reduce((sum, label) => sum + share(label)(group), 0)).reverse();
  const stacked = labels.map(colour).reverse();
  const bars = uPlot.paths.bars({ size: [0.92, 80], gap: 0 });
  const visible = columns(trends, labels.map(share));
  const hundred = axis({ values: (u, ticks) => ticks.map((v) => `${Math.round(100 * v)} %`), size: 56 });
  plot("#shares", columns(trends, upTo), stacked.map((ink) => ({ fill: ink, stroke: ink, width: 0, paths: bars, points: { show: false } })), {
    axes: [hundred],
    scales: { y: { range: [0, 1] } },
    height: 280,
    legend: "#legend",
    names: labels.map((name) => ({ name, colour: colour(name) })),
    text: null,
    show: (i, at) => (visible.data[i + 1][at] === null ? "" : percent(visible.data[i + 1][at])),
  });
  const two = columns(trends, [(group) => group.smiles, (group) => group.not_sure]);
  const line = (ink, dash) => ({ stroke: ink, width: 2, dash, spanGaps: false, points: { show: two.data[0].length < 40, size: 6, fill: ink } });
  plot("#lines", two, [line(colour("happiness")), line(css("--quiet"), [5, 4])], {
    axes: [hundred],
    scales: { y: { range: (u, low, high) => [0, Math.min(1, Math.max(0.1, high * 1.15))] } },
    legend: "#legend-lines",
    names: [{ name: "smiles", colour: colour("happiness") }, { name: "not sure (dashed)", colour: css("--quiet") }],
    show: (i, at) => (two.data[i + 1][at] === null ? "" : percent(two.data[i + 1][at])),
  });
  const counts = columns(trends, [(group) => group.n, (group) => group.people]);
  const ink = [css("--unsure"), css("--accent")];
  plot("#counts", counts, ink.map((one) => ({ fill: one, stroke: one, width: 0, paths: bars, points: { show: false } })), {
    axes: [axis({ size: 56, values: (u, ticks) => ticks.map((v) => (v >= 10_000 ? `${v / 1000}k` : whole(v))) })],
    scales: { y: { range: (u, low, high) => [0, Math.max(1, high * 1.1)] } },
    legend: "#legend-counts",
    names: [{ name: "readings", colour: ink[0] }, { name: "people", colour: ink[1] }],
    show: (i, at) => whole(counts.data[i + 1][at]),
  });
}

let resized = 0;
function redraw() {
  cancelAnimationFrame(resized);
  resized = requestAnimationFrame(() => last && show(last));
}

async function begin() {
  about = await theModel();
  if (!about.stores) {
    $("#empty").hidden = false;
    return;
  }
  $("#board").hidden = false;
  $("#filters").addEventListener("change", () => {
    const own = $("#span").value === "own";
    for (const field of document.querySelectorAll(".own")) field.hidden = !own;
    look();
  });
  $("#filters").addEventListener("submit", (event) => event.preventDefault());
  $("#numbers").addEventListener("toggle", () => last && showTable(last));
  window.addEventListener("resize", redraw);
  dark.addEventListener("change", redraw);
  document.addEventListener("visibilitychange", () => !document.hidden && $("#follow").checked && look());
  await look();
  document.body.dataset.state = "ready";
}

begin().catch((error) => {
  $("#board").hidden = false;
  trouble(error.message);
});
