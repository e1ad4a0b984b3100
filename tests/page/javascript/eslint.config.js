// ESLint's settings, for the page's JavaScript and its tests.

import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["**/node_modules/"] },
  js.configs.recommended,
  {
    rules: {
      curly: ["error", "multi-line"],
      eqeqeq: "error",
      "no-restricted-syntax": [
        "error",
        {
          selector: "Program > VariableDeclaration[kind='let']",
          message: "State belongs to an object, not to a module.",
        },
      ],
      "no-shadow": "error",
      "no-var": "error",
      "prefer-const": "error",
    },
  },
  { files: ["captioner/page/static/**"], languageOptions: { globals: globals.browser } },
  { files: ["tests/page/javascript/**"], languageOptions: { globals: globals.node } },
];
