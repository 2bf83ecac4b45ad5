// Whether a dashboard is one by Grafana's own types (@grafana/schema): every option of every kind of panel, none misspelt.

import path from "node:path";
import { fileURLToPath } from "node:url";

import ts from "typescript";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const FILE = path.join(HERE, "dashboard.ts");
const KINDS = { timeseries: "FieldConfig", stat: null, table: "FieldConfig", heatmap: "FieldConfig", "state-timeline": "FieldConfig" };

/** What is wrong with it, a line each. */
export function problems(dashboard) {
  const { panels, annotations, ...rest } = dashboard;
  const lines = [PREAMBLE];
  const declare = (type, what, value) => lines.push(`/*${what}*/ export const _${lines.length}: ${type} = ${JSON.stringify(value)};`);
  declare("Json<Omit<Schema.Dashboard, 'panels' | 'annotations'>>", "dashboard", rest);
  for (const annotation of annotations.list) declare("Json<Annotation>", annotation.name, annotation);
  for (const panel of panels) {
    if (panel.type !== "row" && !(panel.type in KINDS)) return [`${panel.title}: panels of the kind ${panel.type} are not checked yet`];
    declare(panel.type === "row" ? "Json<Schema.RowPanel>" : `Json<Kinds[${JSON.stringify(panel.type)}]>`, panel.title, panel);
  }
  return complaints(lines.join("\n"));
}

function complaints(source) {
  const options = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (name) => name === FILE || fileExists.call(host, name);
  host.getSourceFile = (name, ...more) =>
    name === FILE ? ts.createSourceFile(name, source, ts.ScriptTarget.ES2022) : getSourceFile.call(host, name, ...more);
  return ts.getPreEmitDiagnostics(ts.createProgram([FILE], options, host)).map((found) => {
    const line = found.file?.text.slice(0, found.start).split("\n").length ?? 1;
    const what = source.split("\n")[line - 1]?.match(/^\/\*(.*?)\*\//)?.[1] ?? "types";
    return `${what}: ${ts.flattenDiagnosticMessageText(found.messageText, " ")}`;
  });
}

const module = (kind) => JSON.stringify(`./node_modules/@grafana/schema/dist/types/raw/composable/${kind.replace("-", "")}/panelcfg/x/types.gen`);

const PREAMBLE = `import type * as Schema from "@grafana/schema";
${Object.keys(KINDS).map((kind, index) => `import type * as K${index} from ${module(kind)};`).join("\n")}
// The values of an enum stand in JSON as texts.
type Json<T> = T extends string ? \`\${T}\` : T extends (infer I)[] ? Json<I>[] : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
interface Query { refId: string; datasource: Schema.DataSourceRef; editorMode: "code"; expr: string; legendFormat?: string;
  format?: "time_series" | "table" | "heatmap"; instant?: boolean; range?: boolean }
interface Fields<C> { defaults: Omit<Schema.FieldConfig, "custom"> & { custom?: C }; overrides: Schema.FieldConfigSource["overrides"] }
type Of<K, O, C> = Omit<Schema.Panel, "type" | "options" | "fieldConfig" | "targets"> & { type: K; options: O; fieldConfig: Fields<C>; targets: Query[] };
// What the Prometheus data source adds to the general form.
type Annotation = Schema.AnnotationQuery & { expr: string; step: string; titleFormat: string };
interface Kinds {
${Object.entries(KINDS).map(([kind, custom], index) => `  ${JSON.stringify(kind)}: Of<${JSON.stringify(kind)}, K${index}.Options, ${custom ? `K${index}.${custom}` : "never"}>;`).join("\n")}
}`;
