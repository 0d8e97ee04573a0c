// What the server says about its model.
import { $, make, percent, theModel } from "./common.js";

const about = await theModel();
const rows = [
  ["Name", about.name],
  ["Expressions", about.labels.join(", ")],
  ["“Not sure”", `where no expression reaches ${percent(about.threshold)}`],
  ["Accuracy", about.accuracy ? `${percent(about.accuracy)} on ${about.accuracy_on}` : "not stated in the model file"],
  ["Trained on", about.trained_on],
  ["Licence", about.licence],
  ["ferkit", about.ferkit],
];
$("#facts").replaceChildren(...rows.filter(([, value]) => value).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
