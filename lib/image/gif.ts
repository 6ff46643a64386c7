// GIF pictures with the colours that are stored below transparency, which libvips replaces by black.

const TRANSPARENT = 1;

/**
 * The same GIF whose first picture has no transparent colour; every other file as it is. The bytes given are not changed.
 * Source: GIF89a, sections 18 (screen descriptor), 23 (graphic control extension).
 */
export function withStoredColours(bytes: Uint8Array): Uint8Array {
  const flags = firstControlFlags(bytes);
  if (flags === undefined || (bytes[flags]! & TRANSPARENT) === 0) return bytes;
  const opaque = new Uint8Array(bytes);
  opaque[flags]! &= ~TRANSPARENT;
  return opaque;
}

// Where the flags of the first picture's graphic control extension lie.
function firstControlFlags(bytes: Uint8Array): number | undefined {
  if (Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 3)).toString('latin1') !== 'GIF')
    return undefined;
  const screen = bytes[10] ?? 0;
  let at = 13 + ((screen & 0x80) !== 0 ? 3 * 2 ** ((screen & 7) + 1) : 0);
  // Extensions: 0x21, a label, then blocks that begin with their length, the last of length 0.
  while (bytes[at] === 0x21) {
    if (bytes[at + 1] === 0xf9 && bytes[at + 2] === 4) return at + 3;
    at += 2;
    while (at < bytes.length && bytes[at] !== 0) at += 1 + bytes[at]!;
    at += 1;
  }
  return undefined;
}
