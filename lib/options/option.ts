// What an option is besides its zod type: the type that its users see, and how the command line spells it.
import { z } from 'zod';

type Values<S> = { [K in keyof S]: z.input<S[K]> };
type RequiredKeys<S> = { [K in keyof S]: undefined extends z.input<S[K]> ? never : K }[keyof S];

/**
 * The options of a shape as they are given: those with a default may be left out. The same as `z.input` of its object,
 * which would lose the comments on the shape's keys: editors show them for this type.
 */
export type OptionsOf<S> = [RequiredKeys<S>] extends [never]
  ? // Not `{} & …`, which every array and every other object would fit.
    Partial<Values<S>>
  : Pick<Values<S>, RequiredKeys<S>> & Partial<Pick<Values<S>, Exclude<keyof S, RequiredKeys<S>>>>;

/** A shape whose defaults are not filled in: what is left out is decided later. */
export type WithoutDefaults<S> = {
  [K in keyof S]: S[K] extends z.ZodDefault<infer T extends z.ZodType> ? z.ZodOptional<T> : S[K];
};

/** The same options, none of them filled in. */
export function withoutDefaults<S extends z.ZodRawShape>(shape: S): WithoutDefaults<S> {
  const entries = Object.entries(shape).map(([name, schema]) => [
    name,
    schema instanceof z.ZodDefault ? z.optional(schema.unwrap()) : schema,
  ]);
  return Object.fromEntries(entries);
}

/** How the command line spells an option. */
export interface Spelling {
  /** As commander writes it: `--longest-side <px>`. `--no-…` turns off what is on by default. */
  readonly flag: string;
  /** For `--help`; the words of an enum and the default follow from the type. */
  readonly help: string;
  /** May be given several times; the option is a list. */
  readonly repeatable?: boolean;
}

/** Reads the text of a flag; `name` is what errors call it. */
export type TextReader = (text: string, name: string) => unknown;

const spellings = new WeakMap<object, Spelling>();
const readers = new WeakMap<object, TextReader>();
const reasons = new WeakMap<object, string>();

/** The same type with a flag. Defaults and the like may be put around it afterwards. */
export function spelled<T extends z.ZodType>(schema: T, flag: string, help: string): T {
  return withSpelling(schema, { flag, help });
}

/** As {@link spelled}, for a list with one flag for each of its items. */
export function spelledEach<T extends z.ZodArray>(schema: T, flag: string, help: string): T {
  return withSpelling(schema, { flag, help, repeatable: true });
}

// A copy: a type that several options share must not get the flag of the last one.
function withSpelling<T extends z.ZodType>(schema: T, spelling: Spelling): T {
  const own = schema.clone();
  spellings.set(own, spelling);
  const read = readers.get(schema);
  if (read) readers.set(own, read);
  return own;
}

/** Gives a type a text of its own, where none follows from it. */
export function readAs<T extends z.ZodType>(schema: T, read: TextReader): T {
  readers.set(schema, read);
  return schema;
}

/** For an object whose parts have flags: why none of them makes sense without those that it needs. */
export function incomplete<T extends z.ZodObject>(schema: T, reason: string): T {
  reasons.set(schema, reason);
  return schema;
}

/** What lies inside of optional, nullable and default, the type itself last. */
export function* layers(schema: z.core.$ZodType): Generator<z.core.$ZodType> {
  yield schema;
  const wrapped =
    schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault;
  if (wrapped) yield* layers(schema.unwrap());
}

/** The type itself. */
export function bare(schema: z.core.$ZodType): z.core.$ZodType {
  return [...layers(schema)].at(-1)!;
}

function find<V>(of: WeakMap<object, V>, schema: z.core.$ZodType): V | undefined {
  for (const layer of layers(schema)) if (of.has(layer)) return of.get(layer);
  return undefined;
}

export const spellingOf = (schema: z.core.$ZodType) => find(spellings, schema);
export const readerOf = (schema: z.core.$ZodType) => find(readers, schema);
export const incompleteReason = (schema: z.core.$ZodType) => find(reasons, schema);

/** Whether an option may be left out. */
export function mayBeAbsent(schema: z.core.$ZodType): boolean {
  return [...layers(schema)].some((layer) => layer instanceof z.ZodOptional || layer instanceof z.ZodDefault);
}
