// The live page: camera frames go out, faces come back, drawn over the video.
import { $, ApiError, call, faceCard, make, theModel } from "./common.js";
import { drawFaces } from "./draw.js";

const WIDTH = 640; // pixels to which frames are brought before they are sent
const QUALITY = 0.8;
const IN_FLIGHT = 2; // frames that may be unanswered: a slow server is sent fewer, never older ones
const LATE = 150; // milliseconds of delay above which the picture that was read is shown, not the newest
const PAUSES = [0.5, 1, 2, 4, 8]; // seconds before the connection is tried again

const video = $("#video");
const overlay = $("#overlay");
const pen = overlay.getContext("2d");
const shutter = document.createElement("canvas");
const cards = new Map();
const sent = new Map(); // number of a frame -> {at, picture}
const delays = [];
const arrivals = [];

let about;
let camera = null;
let socket = null;
let answer = null;
let answered = null; // the picture that the answer is about
let delay = 0;
let number = 0;
let tries = 0;
let retry = 0;
let busyEncoding = false;
let due = 0;
let gap = 1000 / 30;
let refused = 0;
let listed = 0;

const SAID = {
  idle: "The camera is off.",
  asking: "Waiting for the camera … Allow it in your browser.",
  connecting: "Connecting …",
  live: "Live.",
  refused: "The browser did not allow the camera. Allow it in the address bar, then start again.",
  nocamera: "No camera was found. Connect one, then start again.",
  inuse: "The camera is used by another program. Close that, then start again.",
  insecure: "Browsers give the camera only to pages on localhost or HTTPS. Open this page at http://localhost, or put HTTPS in front.",
  lost: "The connection is lost. Trying again …",
  busy: "The server has no free place for another camera. Trying again …",
  unplugged: "The camera stopped giving pictures.",
};

function state(name, text = SAID[name]) {
  document.body.dataset.state = { inuse: "nocamera", unplugged: "nocamera", connecting: "asking" }[name] ?? name;
  if ($("#status").textContent !== text) $("#status").textContent = text;
  const on = camera !== null;
  $("#welcome").hidden = on;
  $("#stop").hidden = !on;
  $("#pace").hidden = !on;
}

async function start() {
  if (!window.isSecureContext || !navigator.mediaDevices) return state("insecure");
  state("asking");
  try {
    const wanted = $("#camera").value;
    const device = wanted ? { deviceId: { exact: wanted } } : { facingMode: "user" };
    camera = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, height: { ideal: 720 }, ...device } });
  } catch (error) {
    const names = { NotAllowedError: "refused", SecurityError: "refused", NotReadableError: "inuse" };
    return state(names[error.name] ?? "nocamera");
  }
  camera.getVideoTracks()[0].addEventListener("ended", () => stop("unplugged"));
  video.srcObject = camera;
  await video.play();
  $("#stage").style.aspectRatio = `${video.videoWidth} / ${video.videoHeight}`;
  await listCameras();
  $("#stop").focus();
  tries = 0;
  connect();
  watchFrames();
}

function stop(why = "idle") {
  for (const track of camera?.getTracks() ?? []) track.stop();
  camera = null;
  video.srcObject = null;
  clearTimeout(retry);
  socket?.close(1000);
  socket = answer = answered = null;
  sent.clear();
  pen.clearRect(0, 0, overlay.width, overlay.height);
  listFaces([]);
  state(why);
  if (why === "idle") $("#start").focus();
}

async function listCameras() {
  const found = (await navigator.mediaDevices.enumerateDevices()).filter((one) => one.kind === "videoinput");
  const now = camera.getVideoTracks()[0].getSettings().deviceId;
  $("#camera").replaceChildren(
    ...found.map((one, i) => make("option", { value: one.deviceId, selected: one.deviceId === now }, one.label || `Camera ${i + 1}`)),
  );
  $("#picking").hidden = found.length < 2;
}

function connect() {
  if (!camera || document.hidden) return;
  state("connecting");
  sent.clear();
  const mine = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/stream`);
  socket = mine;
  mine.onmessage = (event) => socket === mine && heard(JSON.parse(event.data));
  mine.onclose = (event) => socket === mine && closed(event);
}

function closed(event) {
  socket = answer = null;
  if (!camera) return;
  const pause = PAUSES[Math.min(tries++, PAUSES.length - 1)];
  state(event.code === 1013 ? "busy" : "lost");
  retry = setTimeout(connect, 1000 * pause);
  if (event.code === 1006) call("/api/model").catch(() => {}); // sends to the sign-in page where the token is missing
}

function heard(message) {
  if (message.type === "ready") {
    tries = 0;
    gap = 1000 / message.frames_a_second;
    state("live");
    $("#keeping").hidden = !message.can_store;
    settings();
  } else if (message.type === "settings") {
    tellKept(message.store);
  } else if (message.type === "faces") {
    faces(message);
  } else if (message.type === "error") {
    console.warn(message.detail);
  }
}

function settings() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ hog: $("#hog").checked, store: $("#keep").checked }));
}

function tellKept(on) {
  const days = about.retention_days ? ` for ${about.retention_days} days` : "";
  $("#kept").textContent = on
    ? `Readings (time, expression, box; never pictures) are stored${days}, one a second and face.`
    : "Nothing is stored.";
}

function faces(message) {
  const now = performance.now();
  const taken = sent.get(message.seq);
  for (const key of sent.keys()) if (key <= message.seq) sent.delete(key);
  if (message.error) return;
  answer = message;
  answered = taken?.picture ?? null;
  draw();
  if (taken !== undefined) delays.push(performance.now() - taken.at);
  arrivals.push(now);
  while (arrivals.length && now - arrivals[0] > 2000) arrivals.shift();
  if (delays.length > 90) delays.shift();
  if (now - listed > 150) {
    listed = now;
    listFaces(message.faces);
    tellPace(now);
  }
}

function tellPace(now) {
  const sorted = [...delays].sort((a, b) => a - b);
  delay = sorted[Math.floor(sorted.length / 2)] ?? 0;
  const span = arrivals.length > 1 ? (now - arrivals[0]) / 1000 : 0;
  const rate = span ? (arrivals.length - 1) / span : 0;
  $("#fps").textContent = rate.toFixed(1);
  $("#delay").textContent = `${Math.round(delay)} ms`;
  $("#skipped").textContent = String(refused);
}

function listFaces(found) {
  const there = new Set(found.map((face) => face.track));
  for (const [track, card] of cards) {
    if (!there.has(track)) {
      card.element.remove();
      cards.delete(track);
    }
  }
  for (const face of found) {
    if (!cards.has(face.track)) {
      const card = faceCard(about);
      cards.set(face.track, card);
      $("#faces").append(card.element);
    }
    cards.get(face.track).fill(face, `Person ${face.track}`);
  }
  $("#nobody").hidden = found.length > 0;
  if (camera) $("#nobody").textContent = "Nobody is in sight.";
}

function draw() {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(overlay.clientWidth * ratio), Math.round(overlay.clientHeight * ratio)];
  if (overlay.width !== width || overlay.height !== height) [overlay.width, overlay.height] = [width, height];
  pen.clearRect(0, 0, width, height);
  if (!answer?.faces) return;
  const [scale, left, top] = fitted(answer, width, height);
  pen.save();
  pen.translate(left, top);
  const options = { mirror: $("#mirror").checked, hog: $("#hog").checked, unit: ratio, name: (face) => `${face.track}  ` };
  if (answered && delay > LATE) drawPicture(answered, answer.width * scale, answer.height * scale, options.mirror);
  const inner = { ...options, across: answer.width * scale, down: answer.height * scale };
  drawFaces(pen, about, answer.faces, scale, inner);
  pen.restore();
}

/** Boxes that come late stand on the picture that they were read in. */
function drawPicture(picture, width, height, mirror) {
  pen.save();
  if (mirror) pen.setTransform(pen.getTransform().translate(width, 0).scale(-1, 1));
  pen.drawImage(picture, 0, 0, width, height);
  pen.restore();
}

/** Scale and corner of a picture that is shown whole in a canvas. */
function fitted(picture, width, height) {
  const scale = Math.min(width / picture.width, height / picture.height);
  return [scale, (width - picture.width * scale) / 2, (height - picture.height * scale) / 2];
}

function watchFrames() {
  if (!camera) return;
  take();
  if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(watchFrames);
  else requestAnimationFrame(watchFrames);
}

/** Send the frame that is seen now, unless the server still has enough to do. */
function take() {
  const now = performance.now();
  if (socket?.readyState !== WebSocket.OPEN || !video.videoWidth || now < due - 4) return;
  if (sent.size >= IN_FLIGHT || busyEncoding || socket.bufferedAmount > 0) {
    refused += 1;
    return;
  }
  due = Math.max(due + gap, now - gap);
  const scale = Math.min(1, WIDTH / video.videoWidth);
  [shutter.width, shutter.height] = [Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale)];
  shutter.getContext("2d").drawImage(video, 0, 0, shutter.width, shutter.height);
  const seq = (number += 1);
  const mine = socket;
  const frame = { at: now, picture: null };
  sent.set(seq, frame);
  createImageBitmap(shutter).then((picture) => (frame.picture = picture));
  busyEncoding = true;
  shutter.toBlob(
    async (blob) => {
      busyEncoding = false;
      if (!blob || mine.readyState !== WebSocket.OPEN) return sent.delete(seq);
      const head = new DataView(new ArrayBuffer(4));
      head.setUint32(0, seq);
      mine.send(new Blob([head.buffer, blob]));
    },
    "image/jpeg",
    QUALITY,
  );
}

function mirrored() {
  video.classList.toggle("mirrored", $("#mirror").checked);
  draw();
}

$("#start").addEventListener("click", start);
$("#stop").addEventListener("click", () => stop());
$("#camera").addEventListener("change", () => {
  const chosen = $("#camera").value;
  stop();
  $("#camera").value = chosen;
  start();
});
$("#mirror").addEventListener("change", mirrored);
$("#hog").addEventListener("change", settings);
$("#keep").addEventListener("change", settings);
window.addEventListener("resize", draw);
document.addEventListener("visibilitychange", () => {
  if (!camera) return;
  if (document.hidden) {
    socket?.close(1000);
    socket = null;
  } else if (!socket) connect();
});

try {
  about = await theModel();
  mirrored();
  state(window.isSecureContext ? "idle" : "insecure");
} catch (error) {
  state("lost", error instanceof ApiError ? error.message : "The page could not be set up.");
}
