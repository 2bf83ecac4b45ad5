// What a PromQL expression asks for, by the grammar that Grafana's own editor uses.

import { parser } from "@prometheus-io/lezer-promql";

/** Grafana puts these in; here they are put in as Grafana would. */
const VARIABLES = { $__rate_interval: "10s", $__interval: "1s", $job: ".*", $instance: ".*", $tool: ".*" };

/** The expression as Prometheus gets it; throws on a variable that the dashboard does not have. */
export function substituted(expression) {
  return expression.replace(/\$\w+/g, (name) => {
    if (!(name in VARIABLES)) throw new Error(`no variable ${name}: ${expression}`);
    return VARIABLES[name];
  });
}

/** Its selectors, each with the labels that it matches, and the labels by which it groups. */
export function asked(expression) {
  const text = (node) => expression.slice(node.from, node.to);
  const selectors = [];
  const grouping = [];
  parser.parse(expression).iterate({
    enter(node) {
      if (node.type.isError) throw new Error(`at character ${node.from}: ${expression}`);
      if (node.name === "VectorSelector") {
        const labels = node.node
          .getChildren("LabelMatchers")
          .flatMap((matchers) => matchers.getChildren("UnquotedLabelMatcher"))
          .map((matcher) => text(matcher.getChild("LabelName")));
        selectors.push({ name: text(node.node.getChild("Identifier")), labels });
      }
      if (node.name === "GroupingLabels") grouping.push(...node.node.getChildren("LabelName").map(text));
    },
  });
  return { selectors, grouping };
}
