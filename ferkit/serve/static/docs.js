// The API's own description, as a page.
import { $, call, make } from "./common.js";

const description = await call("/openapi.json");

const named = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.type === "array") return `list of ${named(schema.items)}`;
  if (schema.anyOf) return schema.anyOf.map(named).filter((name) => name !== "null").join(" or ");
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.additionalProperties?.type) return `object of ${schema.additionalProperties.type}`;
  return schema.format === "binary" || schema.contentMediaType ? "file" : (schema.type ?? "");
};

const resolved = (schema) => (schema?.$ref ? description.components.schemas[named(schema)] : schema);

function fields(title, rows, of) {
  if (!rows.length) return null;
  const head = make("tr", {}, make("th", { scope: "col" }, title), make("th", { scope: "col" }, "Type"), make("th", { scope: "col" }, "Meaning"));
  const body = rows.map(([name, type, text]) => make("tr", {}, make("td", {}, make("code", {}, name)), make("td", { class: "small" }, type), make("td", {}, text)));
  return make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": `${title}s of ${of}` }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

const properties = (schema) => Object.entries(resolved(schema)?.properties ?? {}).map(([name, one]) => [name, named(one), one.description ?? one.title ?? ""]);

function example(verb, path, kind) {
  const words = [`curl`];
  if (kind.includes("multipart")) words.push(`-F file=@${path.includes("video") ? "clip.mp4" : "photo.jpg"}`);
  else if (kind.includes("json")) words.push(`-H 'Content-Type: application/json' -d '[{"source": "entrance", "label": "happiness"}]'`);
  if (verb === "DELETE") words.push("-X DELETE");
  words.push(`${location.origin}${path}`);
  return make("pre", {}, make("code", {}, words.join(" ")));
}

function operation(path, verb, about) {
  const kind = Object.keys(about.requestBody?.content ?? {})[0] ?? "";
  const body = about.requestBody?.content[kind]?.schema;
  const answer = Object.entries(about.responses).find(([status]) => status.startsWith("2"));
  const schema = answer?.[1].content?.["application/json"]?.schema;
  const row = schema?.type === "array" ? schema.items : schema;
  const inner = body?.type === "array" ? body.items : body;
  const errors = Object.keys(about.responses).filter((status) => status >= 400);
  const of = `${verb} ${path}`;
  const tables = [
    fields("Parameter", (about.parameters ?? []).map((one) => [one.name, named(one.schema), one.description ?? ""]), of),
    fields("Field", properties(inner), of),
    fields("Answer", properties(row), of),
    errors.length ? make("p", { class: "small quiet" }, `Errors: ${errors.join(", ")}`) : null,
  ];
  return make(
    "section",
    { class: "card operation" },
    make("h2", {}, make("span", { class: "verb" }, verb), make("code", {}, path)),
    make("p", {}, about.description ?? about.summary),
    example(verb, path, kind),
    make("details", {}, make("summary", {}, "Parameters and answer"), ...tables.filter(Boolean)),
  );
}

const groups = new Map();
for (const [path, verbs] of Object.entries(description.paths)) {
  for (const [verb, about] of Object.entries(verbs)) {
    const group = about.tags?.[0] ?? "other";
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(operation(path, verb.toUpperCase(), about));
  }
}
$("#operations").replaceChildren(
  ...[...groups].flatMap(([name, cards]) => [make("h2", { class: "group" }, name), ...cards]),
  make("h2", { class: "group" }, "Streams"),
);
