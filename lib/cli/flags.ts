// Flags for commander from the shapes in lib/options, and options from what commander hands over.
import { type Command, Option } from 'commander';
import { z } from 'zod';
import {
  bare,
  incompleteReason,
  mayBeAbsent,
  type Spelling,
  spellingOf,
  type WithoutDefaults,
  withoutDefaults,
} from '../options/option';
import { readText } from '../options/text';
import { parse } from '../options/validate';
import { UsageError } from './errors';

/** What was given, by the flag's name in camel case: text, several texts, or whether a flag without a value is set. */
export type Texts = Readonly<Record<string, string | readonly string[] | boolean | undefined>>;

/**
 * Adds a flag for every option of a shape that is spelled and not there yet.
 *
 * @param part the shape is that of an option that may be absent as a whole
 */
export function addFlags(command: Command, shape: z.core.$ZodShape, part = false): Command {
  for (const schema of Object.values(shape)) {
    const spelling = spellingOf(schema);
    const inner = bare(schema);
    if (spelling) {
      const option = flagOf(schema, spelling);
      option.makeOptionMandatory(!part && !mayBeAbsent(schema));
      if (command.options.every(({ long }) => long !== option.long)) command.addOption(option);
    } else if (inner instanceof z.ZodObject) addFlags(command, inner.shape, true);
  }
  return command;
}

function flagOf(schema: z.core.$ZodType, spelling: Spelling): Option {
  const option = new Option(spelling.flag, describe(schema, spelling.help));
  if (spelling.repeatable) {
    option.argParser((text: string, all: readonly string[] = []) => [...all, text]);
  }
  return option;
}

/** What `--help` says: words, then the values of an enum, then the default. */
function describe(schema: z.core.$ZodType, help: string): string {
  const type = bare(schema);
  const item = type instanceof z.ZodArray ? bare(type.element) : type;
  const words = item instanceof z.ZodEnum ? item.options.join(', ') : '';
  const said = [help, words].filter(Boolean).join(': ');
  if (!(schema instanceof z.ZodDefault) || type instanceof z.ZodBoolean) return said;
  const value = schema.def.defaultValue;
  return typeof value === 'object' && !Array.isArray(value) ? said : `${said} (default: ${value})`;
}

/** The name that errors call a flag: `--longest-side`. */
export function flagName({ flag }: Spelling): string {
  return new Option(flag).long!;
}

/**
 * The options that texts stand for; what was not given is absent, whatever its default.
 *
 * @throws SamError ERR_INVALID_ARGUMENT for a text that is no value of its option; UsageError for a part without the option
 *   that it needs
 */
export function optionsOf<S extends z.ZodRawShape>(
  shape: S,
  texts: Texts,
): z.output<z.ZodObject<WithoutDefaults<S>>> {
  return parse(z.strictObject(withoutDefaults(shape)), valuesOf(shape, texts), 'options');
}

function valuesOf(shape: z.core.$ZodShape, texts: Texts): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(shape)) {
    const spelling = spellingOf(schema);
    const inner = bare(schema);
    const value = spelling
      ? givenValue(schema, spelling, texts)
      : inner instanceof z.ZodObject
        ? partsOf(inner, texts)
        : undefined;
    if (value !== undefined) values[name] = value;
  }
  return values;
}

function givenValue(schema: z.core.$ZodType, spelling: Spelling, texts: Texts): unknown {
  const option = new Option(spelling.flag);
  const given = texts[option.attributeName()];
  // `--no-…` is true in commander when it was not given: only false says anything.
  if (given === undefined || (option.negate && given === true)) return undefined;
  const name = option.long!;
  const type = bare(schema);
  if (typeof given === 'string') return readText(schema, given, name);
  if (typeof given === 'boolean') return given;
  return type instanceof z.ZodArray ? given.map((text) => readText(type.element, text, name)) : given;
}

// An object whose parts have a flag each; absent when none was given.
function partsOf(type: z.ZodObject, texts: Texts): Record<string, unknown> | undefined {
  const values = valuesOf(type.shape, texts);
  const [first] = Object.keys(values);
  if (first === undefined) return undefined;
  for (const [name, schema] of Object.entries(type.shape)) {
    if (name in values || mayBeAbsent(schema)) continue;
    const [missing, given] = [schema, type.shape[first]].map((part) => flagName(spellingOf(part)!));
    throw new UsageError(`Expected ${missing} together with ${given}: ${incompleteReason(type)}`);
  }
  return values;
}
