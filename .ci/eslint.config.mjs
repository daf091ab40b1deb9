// What web/ and the JavaScript of its tests are held to. Not in web/, where ComfyUI's page would import it.
import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["web/lib/**", "**/node_modules/**", ".venv/**", ".comfyui/**"] },
  {
    files: ["web/**/*.js", "tests/web/**/*.mjs"],
    ...js.configs.recommended,
    languageOptions: { ecmaVersion: 2022, sourceType: "module", globals: globals.browser },
    rules: {
      ...js.configs.recommended.rules,
      eqeqeq: ["error", "always", { null: "ignore" }],
      "no-shadow": "error",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_", ignoreRestSiblings: true }],
      "no-var": "error",
      "prefer-const": ["error", { destructuring: "all" }],
    },
  },
  { files: ["tests/web/**/*.mjs"], languageOptions: { globals: globals.node } },
];
