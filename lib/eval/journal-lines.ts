// Lines of a journal: JSON objects whose last entry is a checksum of what stands before it.
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';

const CHUNK_BYTES = 2 ** 20;
/** Hex digits of SHA-256 that a line ends with: against accidents, not against forgery. */
const CHECKSUM_DIGITS = 16;
const SUFFIX = /^,"checksum":"([0-9a-f]{16})"\}$/;
const SUFFIX_BYTES = ',"checksum":""}'.length + CHECKSUM_DIGITS;

/** A line of a journal: an entry, and the checksum of its JSON without the last brace. */
export function lineOf(entry: object): Buffer {
  const json = Buffer.from(JSON.stringify(entry));
  const body = json.subarray(0, -1);
  return Buffer.concat([body, Buffer.from(`,"checksum":"${checksum(body)}"}\n`)]);
}

function isSound(line: Buffer): boolean {
  const at = line.length - SUFFIX_BYTES;
  if (at < 0) return false;
  return SUFFIX.exec(line.toString('latin1', at))?.[1] === checksum(line.subarray(0, at));
}

function checksum(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, CHECKSUM_DIGITS);
}

/** What a line says, without its checksum; undefined when it is damaged. */
export function content(line: Buffer): unknown {
  if (!isSound(line)) return undefined;
  try {
    return JSON.parse(`${line.toString('utf8', 0, line.length - SUFFIX_BYTES)}}`);
  } catch {
    return undefined;
  }
}

/** A file's lines without their ends; only the last one may be incomplete. */
export async function* lines(file: FileHandle): AsyncGenerator<{ bytes: Buffer; complete: boolean }> {
  let rest: Buffer[] = [];
  for (let position = 0; ; ) {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, position);
    if (bytesRead === 0) break;
    position += bytesRead;
    let begin = 0;
    for (let at = chunk.indexOf(10); at >= 0 && at < bytesRead; at = chunk.indexOf(10, begin)) {
      yield { bytes: Buffer.concat([...rest, chunk.subarray(begin, at)]), complete: true };
      rest = [];
      begin = at + 1;
    }
    if (begin < bytesRead) rest.push(chunk.subarray(begin, bytesRead));
  }
  if (rest.length > 0) yield { bytes: Buffer.concat(rest), complete: false };
}
