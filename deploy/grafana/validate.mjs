// Holds a dashboard to Grafana's own types (npm: @grafana/schema), made into JSON Schemas: the dashboard as a whole, and
// each panel's options and field config by its type. A key that Grafana does not know, or a value of another kind, is a
// mistake. It is no Grafana: it draws nothing.
//
//   node validate.mjs FOLDER-WITH-NODE_MODULES dashboard.json

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, file] = process.argv.slice(2);
const require = createRequire(join(folder, "package.json"));
const { createGenerator } = require("ts-json-schema-generator");
const Ajv = require("ajv");
const types = join(folder, "node_modules/@grafana/schema/dist/types/raw");
const ajv = new Ajv({ allErrors: true, strict: false });
const failures = [];

const schemas = new Map();
function schema(path, type) {
  const key = `${path}#${type}`;
  if (!schemas.has(key)) {
    const generator = createGenerator({ path: join(types, path, "types.gen.d.ts"), type, skipTypeCheck: true });
    schemas.set(key, ajv.compile(generator.createSchema(type)));
  }
  return schemas.get(key);
}

function holds(what, validate, value) {
  if (validate(value)) return;
  // Of a choice of types each branch complains; the deepest complaints are about the branch that was meant.
  const deepest = Math.max(...validate.errors.map((error) => error.instancePath.split("/").length));
  for (const error of validate.errors.filter((error) => error.instancePath.split("/").length === deepest)) {
    const which = error.params.additionalProperty ?? error.params.allowedValues?.join(" ") ?? "";
    failures.push(`${what}${error.instancePath}: ${error.message} ${which}`);
  }
}

const board = JSON.parse(readFileSync(file, "utf8"));
const { default: manifest } = { default: require("@grafana/schema/package.json") };
holds("dashboard", schema("dashboard/x", "Dashboard"), board);
const panels = board.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
const names = new Set(board.templating.list.map((variable) => variable.name));
for (const panel of panels.filter((panel) => panel.type !== "row")) {
  const path = `composable/${panel.type.replace("-", "")}/panelcfg/x`;
  holds(`${panel.title}: options`, schema(path, "Options"), panel.options);
  if (panel.type !== "stat") {
    holds(`${panel.title}: custom`, schema(path, "FieldConfig"), panel.fieldConfig.defaults.custom);
  }
  if (panel.repeat && !names.has(panel.repeat)) failures.push(`${panel.title}: repeats for \`${panel.repeat}\`, which is no variable`);
}
const ids = panels.map((panel) => panel.id);
if (new Set(ids).size !== ids.length) failures.push("two panels have one id");
const boxes = panels.map((panel) => ({ title: panel.title, ...panel.gridPos }));
for (const [i, a] of boxes.entries()) {
  for (const b of boxes.slice(i + 1)) {
    if (a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h) {
      failures.push(`\`${a.title}\` lies on \`${b.title}\``);
    }
  }
}

failures.forEach((failure) => console.log(`FAILED  ${failure}`));
if (failures.length) process.exit(1);
console.log(`ok      ${panels.length} panels and rows are as @grafana/schema ${manifest.version} says`);
