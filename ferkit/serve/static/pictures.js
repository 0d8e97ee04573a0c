// Pictures and videos: each file becomes a card with what was read.
import { $, call, csvCell, faceCard, make, save, theModel } from "./common.js";
import { drawFaces } from "./draw.js";

const LONGEST = 2048; // pixels of the longer side that are sent: larger pictures only take longer
const AT_ONCE = 2;
const SHOWN = 3; // faces that are listed at once; the others wait behind a click
const SLOWEST = 1500; // milliseconds between questions after a video

const shown = []; // {name, picture, prediction, redraw}
const waiting = [];
let running = 0;
let done = 0;
let failed = 0;

const about = await theModel();

function take(files) {
  for (const file of files) {
    const card = make("li", { class: "card" });
    card.append(heading(file.name), make("p", { class: "working quiet" }, "Waiting …"));
    $("#results").prepend(card);
    waiting.push({ file, card });
  }
  $("#toolbar").hidden = $("#results").children.length === 0;
  tell();
  next();
}

function heading(name) {
  return make("h2", {}, name);
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    const { file, card } = waiting.shift();
    running += 1;
    const work = file.type.startsWith("video/") ? readVideo(file, card) : readPicture(file, card);
    work
      .then(() => (done += 1))
      .catch((error) => fail(file, card, error.message))
      .finally(() => {
        running -= 1;
        tell();
        next();
      });
  }
}

function tell() {
  const left = waiting.length + running;
  const parts = [];
  if (left) parts.push(`${left} to go`);
  if (done) parts.push(`${done} done`);
  if (failed) parts.push(`${failed} could not be read`);
  $("#status").textContent = parts.join(", ") + (parts.length ? "." : "");
  $("#csv").disabled = !shown.some((one) => one.prediction.faces.length);
}

function fail(file, card, reason) {
  failed += 1;
  card.replaceChildren(heading(file.name), make("p", { class: "note bad" }, reason));
}

async function upright(file) {
  let picture;
  try {
    picture = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return null; // the server knows formats that this browser does not, and says what is wrong with others
  }
  const scale = Math.min(1, LONGEST / Math.max(picture.width, picture.height));
  const canvas = make("canvas");
  [canvas.width, canvas.height] = [Math.max(1, Math.round(picture.width * scale)), Math.max(1, Math.round(picture.height * scale))];
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  return canvas;
}

async function readPicture(file, card) {
  card.lastChild.textContent = "Reading …";
  const picture = await upright(file);
  const blob = picture ? await new Promise((ready) => picture.toBlob(ready, "image/png")) : file;
  const small = blob.size > about.limits.upload_bytes && picture ? await new Promise((ready) => picture.toBlob(ready, "image/jpeg", 0.92)) : blob;
  const form = new FormData();
  form.append("file", small, "picture");
  form.append("hog", "true");
  const prediction = await call("/api/predict", { method: "POST", body: form });
  showPicture(file.name, picture, prediction, card, small);
}

function showPicture(name, picture, prediction, card, blob) {
  const canvas = make("canvas", { role: "img", "aria-label": said(prediction) });
  const redraw = () => draw(canvas, picture, prediction);
  const one = { name, picture, prediction, redraw };
  shown.push(one);
  const faces = make("div");
  const more = make("details", {}, make("summary", {}, `${counted(prediction.faces.length - SHOWN)} more`));
  prediction.faces.forEach((face, i) => {
    const { element, fill } = faceCard(about);
    fill(named(face), `Face ${i + 1}`);
    if (!face.sure) element.prepend(make("p", { class: "small quiet" }, `The likeliest, ${face.label}, is below ${Math.round(100 * about.threshold)} %.`));
    element.append(whyButton(blob, i, card));
    (i < SHOWN ? faces : more).append(element);
  });
  if (prediction.faces.length > SHOWN) faces.append(more);
  if (!prediction.faces.length) faces.append(make("p", { class: "note" }, "No face was found. Faces turned or tilted by more than about 20 degrees are often missed."));
  const actions = make("div", { class: "actions" });
  const annotated = make("button", { type: "button" }, "Download picture");
  annotated.addEventListener("click", () => canvas.toBlob((blob) => save(blob, `${stem(name)}_faces.png`), "image/png"));
  const rows = make("button", { type: "button", disabled: !prediction.faces.length }, "Download CSV");
  rows.addEventListener("click", () => saveCsv([one], `${stem(name)}.csv`));
  actions.append(annotated, rows);
  card.replaceChildren(
    make("div", { class: "result" }, make("div", {}, heading(name), canvas, actions), make("div", {}, make("h3", {}, counted(prediction.faces.length)), faces)),
  );
  redraw();
}

/** A button that asks why a face got its label and shows the answer at the end of the card. */
function whyButton(blob, number, card) {
  const button = make("button", { type: "button", "aria-expanded": "false" }, "Why?");
  let answer = null;
  button.addEventListener("click", async () => {
    if (answer) {
      answer.hidden = !answer.hidden;
      button.setAttribute("aria-expanded", String(!answer.hidden));
      return;
    }
    button.disabled = true;
    button.textContent = "Looking …";
    try {
      const form = new FormData();
      form.append("file", blob, "picture");
      form.append("face", String(number));
      form.append("picture", "true");
      const why = await call("/api/explain", { method: "POST", body: form });
      const text = `Why face ${number + 1} is ${why.label} and not ${why.against}: evidence by place and by family of features`;
      answer = make("img", { class: "why", src: `data:image/png;base64,${why.picture}`, alt: text });
      button.setAttribute("aria-expanded", "true");
    } catch (error) {
      answer = make("p", { class: "note bad" }, error.message);
    }
    card.append(answer);
    answer.scrollIntoView({ block: "nearest" });
    button.disabled = false;
    button.textContent = "Why?";
  });
  return button;
}

const stem = (name) => name.replace(/\.[^.]*$/, "") || "picture";
const named = (face) => ({ ...face, label: face.sure ? face.label : "not sure" });
const counted = (n) => (n === 1 ? "1 face" : `${n} faces`);
const said = (prediction) => `${counted(prediction.faces.length)}: ${prediction.faces.map((face) => named(face).label).join(", ")}`;

function draw(canvas, picture, prediction) {
  [canvas.width, canvas.height] = [prediction.width, prediction.height];
  const pen = canvas.getContext("2d");
  if (picture) pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const unit = Math.max(0.8, Math.max(canvas.width, canvas.height) / 800);
  drawFaces(pen, about, prediction.faces.map(named), 1, { hog: $("#hog").checked, unit, name: (_, i) => (prediction.faces.length > 1 ? `${i + 1}  ` : "") });
}

function saveCsv(ones, name) {
  const head = ["source", "frame", "time", "face", "x1", "y1", "x2", "y2", "label", "confidence", ...about.labels];
  const lines = [head];
  for (const { name: source, prediction } of ones) {
    prediction.faces.forEach((face, i) => {
      lines.push([source, 0, "", i, ...face.box, face.label, face.confidence, ...about.labels.map((label) => face.probabilities[label])]);
    });
  }
  save(new Blob([lines.map((line) => line.map(csvCell).join(",") + "\n").join("")], { type: "text/csv" }), name);
}

async function readVideo(file, card) {
  const bar = make("progress", { max: 1, "aria-label": `Progress of ${file.name}` });
  const note = make("p", { class: "quiet", role: "status" }, "Sending …");
  const cancel = make("button", { type: "button" }, "Cancel");
  card.replaceChildren(heading(file.name), bar, note, make("div", { class: "actions" }, cancel));
  const form = new FormData();
  form.append("file", file, "video");
  const stopper = new AbortController();
  let video = null;
  let cancelled = false;
  cancel.addEventListener("click", () => {
    cancelled = true;
    stopper.abort();
    if (video) call(`/api/videos/${video.id}`, { method: "DELETE" }).catch(() => {});
    card.replaceChildren(heading(file.name), make("p", { class: "note" }, "Cancelled. Nothing of it was kept."));
  });
  try {
    video = await call("/api/videos", { method: "POST", body: form, signal: stopper.signal });
    for (let pause = 300; ["waiting", "reading"].includes(video.state) && !cancelled; pause = Math.min(SLOWEST, pause * 1.3)) {
      await new Promise((ready) => setTimeout(ready, pause));
      if (cancelled) return;
      try {
        video = await call(`/api/videos/${video.id}`);
      } catch (error) {
        if (error.status === 404) throw error; // the server has it no more
        note.textContent = `${error.message} Asking again …`;
        continue;
      }
      if (video.progress) bar.value = video.progress;
      note.textContent = video.state === "waiting" ? "Waiting for its turn …" : `${Math.round(100 * video.progress)} %, ${video.frames} frames, ${counted(video.people).replace("face", "person").replace("persons", "people")}`;
    }
  } catch (error) {
    if (!cancelled) throw error;
  }
  if (cancelled) return;
  if (video.state !== "done") throw new Error(video.reason ?? "The video could not be read.");
  showVideo(file.name, video, card);
}

function showVideo(name, video, card) {
  const player = make("video", { controls: true, playsinline: true, preload: "metadata", src: video.results["annotated.webm"], "aria-label": `${name} with faces and labels` });
  const link = (result, text, end) => make("a", { class: "button", href: video.results[result], download: `${stem(name)}${end}` }, text);
  const remove = make("button", { type: "button" }, "Delete");
  remove.addEventListener("click", () => {
    call(`/api/videos/${video.id}`, { method: "DELETE" }).catch(() => {});
    card.replaceChildren(heading(name), make("p", { class: "note" }, "Deleted from the server."));
  });
  const facts = make("p", { class: "quiet" }, `${video.frames} frames, ${video.people} ${video.people === 1 ? "person" : "people"}. Who leaves and returns counts again.`);
  const people = Object.entries(video.shown).map(([who, seconds]) => {
    const parts = Object.entries(seconds).map(([label, s]) => `${label} ${s.toFixed(1)} s`);
    return make("li", {}, make("strong", {}, who === "others" ? "Others" : `Person ${who}`), ` ${parts.join(", ")}`);
  });
  const shownBy = make("ul", { class: "shown" }, ...people);
  const cut = video.cut ? make("p", { class: "note warn" }, `Only the first ${video.seconds < 120 ? `${Math.round(video.seconds)} seconds` : `${Math.round(video.seconds / 60)} minutes`} were read. ${video.reason ?? ""}`) : null;
  const actions = make("div", { class: "actions" }, link("annotated.webm", "Download video", "_faces.webm"), link("readings.csv", "Download CSV", ".csv"), remove);
  const kept = make("p", { class: "small quiet" }, "The server deletes it after an hour.");
  card.replaceChildren(make("div", { class: "result" }, make("div", {}, heading(name), player, actions), make("div", {}, make("h3", {}, "Video"), ...[cut, facts, shownBy, kept].filter(Boolean))));
}

const drop = $("#drop");
for (const kind of ["dragenter", "dragover"]) {
  window.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
for (const kind of ["dragleave", "drop"]) window.addEventListener(kind, () => drop.classList.remove("over"));
window.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files);
});
window.addEventListener("paste", (event) => take(event.clipboardData.files));
$("#files").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = "";
});
$("#hog").addEventListener("change", () => shown.forEach((one) => one.redraw()));
$("#csv").addEventListener("click", () => saveCsv(shown, "faces.csv"));
$("#clear").addEventListener("click", () => {
  shown.length = done = failed = 0;
  waiting.length = 0;
  $("#results").replaceChildren();
  $("#toolbar").hidden = true;
  $("#files").focus();
});
