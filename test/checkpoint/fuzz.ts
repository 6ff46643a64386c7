// Mutates real checkpoints at random, but reproducibly, and demands that every outcome is a success or a SamError
// within bounded time. From a shell: node test/checkpoint/fuzz-cli.mjs SECONDS [SEED]
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inflateRawSync } from 'node:zlib';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint';
import { findModel } from '../../lib/checkpoint/keys';
import { SamError } from '../../lib/errors';
import { makeSafetensors, makeZip, type ZipPart } from './make-zip';

export interface FuzzOptions {
  /** How long to go on, in seconds; for ever without one of the two. */
  readonly seconds?: number;
  /** How many files to try. */
  readonly files?: number;
  /** Equal seeds give equal sequences of files. */
  readonly seed: number;
}

export interface FuzzReport {
  readonly files: number;
  /** Files from which a whole model was inferred, in spite of the changes. */
  readonly accepted: number;
  /** How many files each error was about, with numbers and names taken out. */
  readonly refusals: ReadonlyMap<string, number>;
  readonly slowest_ms: number;
}

/** Of processor time. Nothing here is larger than a few hundred kB, so anything that computes for longer has lost its bounds. */
const LIMIT_CPU_MS = 20_000;
/** Tensors are read until this many bytes; a mutated shape may promise more. */
const READ_BYTES = 8 * 1024 * 1024;
const CODES = new Set(['ERR_CHECKPOINT', 'ERR_OUT_OF_MEMORY']);

/**
 * Runs the fuzzer.
 *
 * @throws Error at the first file that ends in anything but success or a SamError, or takes too long; the file
 *   is kept and named
 */
export async function fuzzCheckpoints({
  seconds = Number.POSITIVE_INFINITY,
  files: limit = Number.POSITIVE_INFINITY,
  seed,
}: FuzzOptions): Promise<FuzzReport> {
  const folder = mkdtempSync(join(tmpdir(), 'ba-sam-fuzz-'));
  const random = new Random(seed);
  const seeds = loadSeeds();
  const refusals = new Map<string, number>();
  let files = 0;
  let accepted = 0;
  let slowest_ms = 0;
  const end = performance.now() + seconds * 1000;
  const path = join(folder, 'mutant');
  while (files < limit && performance.now() < end) {
    const bytes = mutate(random, seeds);
    writeFileSync(path, bytes);
    const start = performance.now();
    try {
      await within(attempt(path));
      accepted++;
    } catch (error) {
      if (!(error instanceof SamError && CODES.has(error.code) && error.message.startsWith(`${path}: `))) {
        const kept = join(tmpdir(), `ba-sam-fuzz-${seed}-${files}.bin`);
        writeFileSync(kept, bytes);
        throw new Error(`file ${files} of seed ${seed}, kept as ${kept}: ${error}`, { cause: error });
      }
      const kind = error.message
        .slice(path.length + 2)
        .replace(/"(\\.|[^"\\])*"/g, '""')
        .replace(/\[[-\d, ]*\]/g, '[]')
        .replace(/(image_encoder|mask_decoder|prompt_encoder|vision_encoder)\.\S+/g, 'KEY')
        .replace(/refused .*: a checkpoint/, 'refused NAME: a checkpoint')
        .replace(/0x[0-9a-f]+|\d+/g, '#');
      refusals.set(kind, (refusals.get(kind) ?? 0) + 1);
    }
    slowest_ms = Math.max(slowest_ms, performance.now() - start);
    files++;
  }
  rmSync(folder, { recursive: true, force: true });
  return { files, accepted, refusals, slowest_ms };
}

/** Everything a caller would do: list, read, find the model. */
async function attempt(path: string): Promise<void> {
  const checkpoint = await openCheckpoint(path);
  try {
    let budget = READ_BYTES;
    for (const info of checkpoint.tensors.values()) {
      if (info.byteLength > budget) continue;
      const data = await checkpoint.read(info.name);
      if (data.byteLength !== info.byteLength) throw new Error(`${info.name}: ${data.byteLength} bytes`);
      budget -= data.byteLength;
    }
    await findModel(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

interface Seed {
  readonly bytes: Buffer;
  /** Parts of a zip archive, inflated, so that what is inside can be mutated under an intact archive. */
  readonly parts?: readonly ZipPart[];
  /** Header and data of a safetensors file. */
  readonly header?: Buffer;
  readonly data?: Buffer;
}

function loadSeeds(): Seed[] {
  const folder = join(import.meta.dirname, 'fixtures');
  // Not the files that are refused for their kind: their mutants would all be refused for it, too.
  const files = readdirSync(folder).filter((name) =>
    /^(?!legacy|torchscript|whole-model|evil).*\.(pt|pth|safetensors)$/.test(name),
  );
  return files.sort().map((name): Seed => {
    const bytes = readFileSync(join(folder, name));
    if (name.endsWith('.safetensors')) {
      const length = Number(bytes.readBigUInt64LE());
      return { bytes, header: bytes.subarray(8, 8 + length), data: bytes.subarray(8 + length) };
    }
    return bytes.subarray(0, 4).toString('latin1') === 'PK\x03\x04'
      ? { bytes, parts: unzip(bytes) }
      : { bytes };
  });
}

/** A minimal reader for the fixtures' own archives. */
function unzip(bytes: Buffer): ZipPart[] {
  const parts: ZipPart[] = [];
  let at = bytes.readUInt32LE(bytes.length - 22 + 16);
  while (bytes.readUInt32LE(at) === 0x02014b50) {
    const deflate = bytes.readUInt16LE(at + 10) === 8;
    const nameLength = bytes.readUInt16LE(at + 28);
    const name = bytes.toString('utf8', at + 46, at + 46 + nameLength);
    const header = bytes.readUInt32LE(at + 42);
    const start = header + 30 + bytes.readUInt16LE(header + 26) + bytes.readUInt16LE(header + 28);
    const body = bytes.subarray(start, start + bytes.readUInt32LE(at + 20));
    parts.push({ name, deflate, data: deflate ? inflateRawSync(body) : body });
    at += 46 + nameLength + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32);
  }
  return parts;
}

function mutate(random: Random, seeds: readonly Seed[]): Buffer {
  const seed = random.pick(seeds);
  if (seed.header && random.below(4) > 0) {
    const header = random.below(2) ? mutateText(random, seed.header) : mutateBytes(random, seed.header);
    return makeSafetensors(header.toString('latin1'), seed.data);
  }
  if (seed.parts && random.below(4) > 0) {
    const parts = seed.parts.map((part) => ({ ...part }));
    const chosen = random.below(3)
      ? parts.find((part) => part.name.endsWith('data.pkl'))
      : random.pick(parts);
    if (chosen) {
      const kind = random.below(8);
      if (kind === 0) Object.assign(chosen, { name: random.pick(parts).name });
      else if (kind === 1) Object.assign(chosen, { deflate: !chosen.deflate });
      else if (kind === 2) Object.assign(chosen, { [random.pick(FIELDS)]: random.pick(NUMBERS) >>> 0 });
      else chosen.data = mutateBytes(random, Buffer.from(chosen.data));
    }
    try {
      return makeZip(parts);
    } catch {
      return seed.bytes; // a number that its field cannot hold
    }
  }
  return mutateBytes(random, seed.bytes);
}

const FIELDS = ['method', 'flags', 'size', 'compressedSize', 'headerOffset', 'localSize'] as const;
const NUMBERS = [
  0, 1, 2, 7, 8, 127, 128, 255, 256, 1000, 65535, 65536, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff,
];
const WORDS = [
  '0',
  '-1',
  '1e9',
  '9007199254740993',
  '18446744073709551615',
  'null',
  '{}',
  '[]',
  '""',
  '"F32"',
  '"F4"',
];

/** One to eight changes of bytes; later ones may undo earlier ones. */
function mutateBytes(random: Random, original: Buffer): Buffer {
  let bytes = Buffer.from(original);
  for (let n = random.below(8) >> random.below(4); n >= 0 && bytes.length > 0; n--) {
    const at = random.below(bytes.length);
    const length = Math.min(1 + random.below(1 << random.below(9)), bytes.length - at);
    switch (random.below(9)) {
      case 0:
        bytes[at]! ^= 1 << random.below(8);
        break;
      case 1:
        bytes[at] = random.below(256);
        break;
      case 2:
        bytes[at] = random.pick(Buffer.from(PICKLE_OPS, 'latin1'));
        break;
      case 3:
        if (at + 4 <= bytes.length) bytes.writeUInt32LE(random.pick(NUMBERS), at);
        break;
      case 4:
        if (at + 8 <= bytes.length) bytes.writeBigUInt64LE(1n << BigInt(random.below(64)), at);
        break;
      case 5:
        bytes = bytes.subarray(0, at);
        break;
      case 6:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 7: {
        const from = random.below(bytes.length);
        const piece = bytes.subarray(from, from + length);
        bytes = Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
        break;
      }
      default:
        bytes.copyWithin(at, random.below(bytes.length), random.below(bytes.length));
    }
  }
  return bytes;
}

const PICKLE_OPS =
  '(.012BCGJKMNQRX]abcehijlortsu}\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96';

/** Replaces, drops or doubles one JSON token. */
function mutateText(random: Random, original: Buffer): Buffer {
  const tokens = original.toString('latin1').match(/"(\\.|[^"\\])*"|-?\d+|[[\]{}:,]|\s+|./g) ?? [];
  for (let n = random.below(3); n >= 0; n--) {
    const at = random.below(tokens.length);
    const kind = random.below(4);
    if (kind === 0) tokens[at] = random.pick(WORDS);
    else if (kind === 1) tokens[at] = random.pick(tokens);
    else if (kind === 2) tokens.splice(at, 1);
    else tokens.splice(at, 0, tokens[at]!);
  }
  return Buffer.from(tokens.join(''), 'latin1');
}

async function within<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const cpu = process.cpuUsage();
  const late = new Promise<never>((_, reject) => {
    timer = setInterval(() => {
      const used = process.cpuUsage(cpu);
      const used_ms = (used.user + used.system) / 1000;
      if (!(used_ms <= LIMIT_CPU_MS)) reject(new Error(`took too long: ${used_ms} ms of computing`));
    }, 500);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearInterval(timer);
  }
}

/** mulberry32 */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** An integer from 0 to limit − 1. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  pick<T>(list: ArrayLike<T>): T {
    return list[this.below(list.length)]!;
  }
}
