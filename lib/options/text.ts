// What the text of a flag stands for, by the type of its option.
import { z } from 'zod';
import { describe, SamError } from '../errors';
import { bare, readerOf } from './option';
import { expectation } from './validate';

/** `Expected … for … but received "…"`; a very long text is cut off. */
export function badText(name: string, expected: string, received: string): SamError {
  return new SamError(
    'ERR_INVALID_ARGUMENT',
    `Expected ${expected} for ${name} but received ${describe(received)}`,
  );
}

/**
 * The value of an option.
 *
 * @param name what errors call it: `--longest-side`
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function readText(schema: z.core.$ZodType, text: string, name: string): unknown {
  const value = (readerOf(schema) ?? readByType(bare(schema)))(text, name);
  const { error } = z.safeParse(schema, value);
  if (error) throw badText(name, expectation(error.issues[0]).replace(/^Expected /, ''), text);
  return value;
}

function readByType(type: z.core.$ZodType): (text: string, name: string) => unknown {
  if (type instanceof z.ZodNumber) return (text, name) => readNumber(type, text, name);
  if (type instanceof z.ZodEnum) {
    const { options } = type;
    return (text, name) => {
      if (options.includes(text)) return text;
      throw badText(name, options.length === 1 ? `${options[0]}` : `one of ${options.join(', ')}`, text);
    };
  }
  if (type instanceof z.ZodArray) {
    return (text, name) => listItems(text).map((item) => readText(type.element, item, name));
  }
  if (type instanceof z.ZodUnion) return (text, name) => readFirst(type.options, text, name);
  return (text) => text;
}

/** What the first of several types makes of a text; the error is that of the last. */
function readFirst(types: readonly z.core.$ZodType[], text: string, name: string): unknown {
  let failure: unknown;
  for (const type of types) {
    try {
      return readText(type, text, name);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

function readNumber({ isInt, minValue, maxValue }: z.ZodNumber, text: string, name: string): number {
  const [low, high] = [minValue ?? Number.NEGATIVE_INFINITY, maxValue ?? Number.POSITIVE_INFINITY];
  const value = isInt ? wholeNumber(text) : decimalNumber(text, name);
  if (value >= low && value <= high) return value;
  const kind = isInt ? 'integer' : 'a number';
  throw badText(name, `${kind} between ${low} and ${String(high).replace('e+', 'e')}`, text);
}

/** Digits and nothing else, NaN otherwise: "1e3", "+1" and "0x10" are refused. */
export function wholeNumber(text: string): number {
  return /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
}

/** A finite decimal number and nothing else: "12abc", "0x10", "1e999" and "" are refused. */
function decimalNumber(text: string, name: string): number {
  const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  if (!Number.isFinite(value)) throw badText(name, 'a number', text);
  return value;
}

/** What commas separate, with or without spaces around it. */
function listItems(text: string): string[] {
  return text.split(',').map((item) => item.trim());
}

/** Numbers separated by commas, between `low` and `high` of them. */
export function decimalNumbers(text: string, name: string, low: number, high: number): number[] {
  const parts = listItems(text);
  if (parts.length < low || parts.length > high) {
    const count = low === high ? `${low}` : `${low} to ${high}`;
    throw badText(name, `${count} numbers separated by commas`, text);
  }
  return parts.map((part) => decimalNumber(part, name));
}
