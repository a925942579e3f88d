// Check HTML with html-validate, whose folder is the argument: for each line of the input, which holds the HTML and the
// rules that differ from the recommended ones, write a line with the faults.

const { createInterface } = require("node:readline");
const { HtmlValidate, StaticConfigLoader } = require(process.argv[2]);

createInterface({ input: process.stdin }).on("line", (line) => {
  const { html, rules } = JSON.parse(line);
  const loader = new StaticConfigLoader({ root: true, extends: ["html-validate:recommended"], rules });
  const { results } = new HtmlValidate(loader).validateStringSync(html);
  console.log(JSON.stringify(results.flatMap(({ messages }) => messages)));
});
