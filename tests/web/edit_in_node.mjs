/** Reads a packed head and, from the standard input, a list of edits; prints the vertices that the browser shows. */

import { readFileSync } from "node:fs";

import { readEdit } from "../../web/editor/edit.js";
import { editedVertices, parseHead } from "../../web/editor/geometry.js";

const file = readFileSync(process.argv[2]);
const head = parseHead(file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength));
const edits = JSON.parse(readFileSync(0, "utf8"));
const shown = edits.map((text) => [...editedVertices(head, readEdit(text, head.controls).values)]);
process.stdout.write(JSON.stringify(shown));
