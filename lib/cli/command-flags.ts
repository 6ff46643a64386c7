// The flags of every command that has options of the library. Apart from main.ts, because schemas take a while to load.
import type { Command } from 'commander';
import type { z } from 'zod';
import { benchShape, caseOption, caseOwners } from '../options/bench';
import {
  encodeCommandShape,
  evaluateCommandShape,
  infoCommandShape,
  segmentCommandShape,
} from '../options/commands';
import { addFlags } from './flags';

const FLAGS: Readonly<Record<string, (command: Command) => void>> = {
  info: (command) => addFlags(command, infoCommandShape),
  encode: (command) => addFlags(command, encodeCommandShape),
  segment: (command) => addFlags(command, segmentCommandShape),
  evaluate: (command) => addFlags(command, evaluateCommandShape),
  bench: (command) => {
    addFlags(command, benchShape);
    for (const [owners, shape] of casesByOwners()) addFlags(command.optionsGroup(`${owners}:`), shape);
  },
};

/** Adds its flags to a command of the tool. */
export function addCommandFlags(command: Command): void {
  FLAGS[command.name()]?.(command);
}

/** The options of single benchmarks under headings such as `Attention and encoder`. */
function casesByOwners(): ReadonlyMap<string, z.core.$ZodShape> {
  const groups = new Map<string, z.core.$ZodShape>();
  for (const [name, owners] of caseOwners()) {
    const text = owners.join(' and ');
    const title = text[0].toUpperCase() + text.slice(1);
    groups.set(title, { ...groups.get(title), [name]: caseOption(name, owners) });
  }
  return groups;
}
