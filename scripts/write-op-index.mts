// Writes lib/ops/index.ts from the list of ops, native/ops/ops.def: what every op's file exports, under one roof, and the
// names and attributes that a node may have on the wire. The builds, the tests and the linter call this first; the file is
// not kept in the repository.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './native-sources.mjs';

const LIST = 'native/ops/ops.def';
const OUT = 'lib/ops/index.ts';

/** What an attribute of each native type is in TypeScript. */
const TYPES: Record<string, string> = {
  bool: 'boolean',
  int64_t: 'number',
  double: 'number',
  'std::vector<double>': 'readonly number[]',
  Size: 'readonly [width: number, height: number]',
  Activation: 'Activation',
  DistanceMetric: 'Metric',
  ChannelOrder: 'ChannelOrder',
};

export interface ListedOp {
  /** Of its folder. */
  name: string;
  /** Of the graph and the function. */
  wire: string;
  /** Of its TypeScript, without the extension. */
  file: string;
  isView: boolean;
  attributes: { name: string; type: string; optional: boolean }[];
}

/** The list, in its order. */
export function readOps(): ListedOp[] {
  const text = readFileSync(path.join(root, LIST), 'utf8').replace(/^\s*(\/\/|#).*$/gm, '');
  return [...text.matchAll(/\b(VIEW_)?OP\((\w+), "(\w+)", \w+\)([\s\S]*?)\bEND_OP\b/g)].map(
    ([, view, name, wire, body]) => ({
      name,
      wire,
      isView: view !== undefined,
      file: name.replaceAll('_', '-'),
      attributes: [...body.matchAll(/\b(OPTIONAL_)?ATTRIBUTE\(([\w:<>]+), (\w+)/g)].map(
        ([, optional, type, attribute]) => ({
          name: attribute,
          type:
            TYPES[type] ?? fail(`${LIST}: no TypeScript type for ${type}, the type of ${wire}.${attribute}`),
          optional: optional !== undefined,
        }),
      ),
    }),
  );
}

function fail(message: string): never {
  throw new Error(message);
}

/** Writes the index unless it is there already. */
export function writeOpIndex(): void {
  const ops = readOps();
  const missing = ops.filter(({ file }) => !existsSync(path.join(root, 'lib/ops', `${file}.ts`)));
  if (missing.length > 0) {
    fail(
      `${LIST} lists ${missing.map(({ wire }) => wire).join(', ')} but there is no lib/ops/${missing[0].file}.ts`,
    );
  }
  const fields = ({ attributes }: ListedOp) =>
    attributes.map(({ name, type, optional }) => `${name}${optional ? '?' : ''}: ${type}`).join('; ');
  const text = `// Written by scripts/write-op-index.mts from ${LIST}.
import type { Activation, ChannelOrder, Metric } from './attributes';

export * from './attributes';
${ops.map(({ file }) => `export * from './${file}';`).join('\n')}

/** Attributes of each op, by its name on the wire. */
export interface OpAttributes {
${ops.map((op) => `  ${op.wire}: { ${fields(op)} };`).join('\n')}
}

export type OpName = keyof OpAttributes;
`.replaceAll('{  }', 'Record<string, never>');
  const file = path.join(root, OUT);
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeOpIndex();
