// Faces drawn over a picture: box, plate, oriented gradients.
import { colourOf, percent } from "./common.js";

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

const decoded = new WeakMap();

function cells(hog) {
  if (!decoded.has(hog)) decoded.set(hog, Uint8Array.from(atob(hog.values), (letter) => letter.charCodeAt(0)));
  return decoded.get(hog);
}

/** Strokes along the edges of a face, as the classifier's family sees them. */
export function drawHog(pen, hog, left, top, width, height, mirror = false) {
  const values = cells(hog);
  pen.save();
  pen.beginPath();
  pen.rect(left, top, width, height);
  pen.fillStyle = "#000a";
  pen.fill();
  pen.clip();
  pen.lineCap = "round";
  pen.lineWidth = Math.max(1, width / 110);
  const reach = 0.45 * Math.min(width / hog.columns, height / hog.rows);
  for (let row = 0; row < hog.rows; row++) {
    for (let column = 0; column < hog.columns; column++) {
      for (let k = 0; k < hog.directions; k++) {
        const light = values[(row * hog.columns + column) * hog.directions + k] / 255;
        if (light < 0.15) continue;
        const turn = (Math.PI * (k + 0.5)) / hog.directions + Math.PI / 2;
        const across = (column + 0.5) / hog.columns;
        const x = left + (mirror ? 1 - across : across) * width;
        const y = top + ((row + 0.5) * height) / hog.rows;
        const dx = reach * Math.cos(turn) * (mirror ? -1 : 1);
        const dy = reach * Math.sin(turn);
        pen.strokeStyle = `rgba(255,255,255,${light.toFixed(2)})`;
        pen.beginPath();
        pen.moveTo(x - dx, y - dy);
        pen.lineTo(x + dx, y + dy);
        pen.stroke();
      }
    }
  }
  pen.restore();
}

/** All faces of a picture. `scale` brings pixels of the picture to pixels of the canvas. */
export function drawFaces(pen, about, faces, scale, { mirror = false, hog = false, unit: most = 1, name = null, across = pen.canvas.width, down = pen.canvas.height } = {}) {
  const [width, height] = [across, down];
  faces.forEach((face, i) => {
    let [x1, y1, x2, y2] = face.box.map((v) => v * scale);
    if (mirror) [x1, x2] = [width - x2, width - x1];
    if (hog && face.hog) drawHog(pen, face.hog, x1, y1, x2 - x1, y2 - y1, mirror);
    const colour = colourOf(about, face.label);
    const unit = Math.max(0.55 * most, Math.min(most, (x2 - x1) / 110));
    pen.lineJoin = "round";
    pen.lineWidth = 5 * unit;
    pen.strokeStyle = "#0008";
    box(pen, x1, y1, x2, y2, 10 * unit);
    pen.lineWidth = 3 * unit;
    pen.strokeStyle = colour;
    box(pen, x1, y1, x2, y2, 10 * unit);
    const who = name ? name(face, i) : "";
    const sure = face.label === "not sure" ? "" : ` ${percent(face.confidence)}`;
    plate(pen, `${who}${face.label}${sure}`, x1, y1, y2, colour, unit, width, height);
  });
}

function box(pen, x1, y1, x2, y2, radius) {
  pen.beginPath();
  pen.roundRect(x1, y1, x2 - x1, y2 - y1, Math.min(radius, (x2 - x1) / 4));
  pen.stroke();
}

function plate(pen, text, x1, y1, y2, colour, unit, width, height) {
  pen.font = `600 ${15 * unit}px ${FONT}`;
  const wide = pen.measureText(text).width + 32 * unit;
  const tall = 26 * unit;
  const left = Math.max(2, Math.min(x1 - 1.5 * unit, width - wide - 2));
  const top = y1 >= tall + 4 * unit ? y1 - tall - 4 * unit : Math.min(y2 + 4 * unit, height - tall - 2);
  pen.fillStyle = "#10141cE6";
  pen.beginPath();
  pen.roundRect(left, top, wide, tall, 7 * unit);
  pen.fill();
  pen.fillStyle = colour;
  pen.beginPath();
  pen.arc(left + 13 * unit, top + tall / 2, 5 * unit, 0, 7);
  pen.fill();
  pen.fillStyle = "#fff";
  pen.textBaseline = "middle";
  pen.fillText(text, left + 24 * unit, top + tall / 2 + 0.5 * unit);
}
