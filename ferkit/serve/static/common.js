// What all pages share: the API, the look of a face, numbers.

export const $ = (selector, root = document) => root.querySelector(selector);

/** An element with text or children; attributes are set, not parsed. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export class ApiError extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/** JSON of an answer; raises ApiError with the sentence that the server gave. */
export async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new ApiError(0, "offline", "The server cannot be reached. Is it still running?");
  }
  if (answer.status === 401) location.assign(`/login?to=${encodeURIComponent(location.pathname)}`);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new ApiError(answer.status, body.code ?? "error", body.detail ?? `Error ${answer.status}.`);
  return body;
}

let model;
/** What the server says about its model, asked once. */
export const theModel = () => (model ??= call("/api/model"));

export const percent = (share) => (share === null || share === undefined ? "–" : `${Math.round(100 * share)} %`);

export const colourOf = (about, label) => about.colours[label] ?? "#8a93a0";

/** Card of one face: who, what, how sure, one bar an expression. Made once, then filled again. */
export function faceCard(about) {
  const who = make("span", { class: "who" });
  const what = make("span", { class: "what" });
  const sure = make("span", { class: "sure" });
  const bars = make("ul", { class: "bars" });
  const rows = about.labels.map((label) => {
    const bar = make("span");
    bar.style.background = colourOf(about, label);
    const share = make("span", { class: "share" });
    const row = make("li", {}, make("span", {}, label), make("span", { class: "rail", "aria-hidden": "true" }, bar), share);
    bars.append(row);
    return { label, bar, share, row };
  });
  const element = make("article", { class: "face" }, make("div", { class: "face-head" }, who, what, sure), bars);
  const fill = (face, name) => {
    const best = Math.max(...Object.values(face.probabilities));
    who.textContent = name;
    what.textContent = face.label;
    sure.textContent = face.label === "not sure" ? "" : percent(face.confidence);
    for (const { label, bar, share, row } of rows) {
      const p = face.probabilities[label] ?? 0;
      bar.style.width = `${(100 * p).toFixed(1)}%`;
      share.textContent = percent(p);
      row.classList.toggle("best", p === best);
    }
  };
  return { element, fill };
}

/** A file that the browser saves. */
export function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** One cell of a CSV file; text that a spreadsheet would take for a formula is quoted. */
export function csvCell(value) {
  let text = value === null || value === undefined ? "" : String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
