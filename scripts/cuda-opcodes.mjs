// Counts machine instructions per kernel in a cubin, without a disassembler. Since sm_70 an instruction is 16 bytes, and its
// lowest 12 bits say what it does; bits 9 … 11 of these tell the kinds of operands apart. The numbers below were read from
// nvdisasm's output for sm_80 … sm_120, those of sm_90a from counts in cubins.
const OPCODES = {
  HMMA: (op) => op === 0x23c,
  HGMMA: (op) => (op & 0x1ff) === 0x1f0, // wgmma; seen as 0x9f0 and 0xdf0, as often as the source has products
  UTMALDG: (op) => op === 0x5b4, // TMA copies
  MUFU: (op) => (op & 0x1ff) === 0x108,
  LDSM: (op) => op === 0x83b,
  LDGSTS: (op) => op === 0xfae,
  STL: (op) => (op & 0x1ff) === 0x187,
  LDL: (op) => (op & 0x1ff) === 0x183,
};
// Of the same origin: what waits for wgmmas, and what opens one; both 0x9c5, told apart and numbered in the
// upper half. A named barrier whose number is in a register.
const WARPGROUP = 0x9c5;
const isWait = (op, upper) => op === WARPGROUP && (upper & 0x10000) !== 0;
const isArrive = (op, upper) => op === WARPGROUP && (upper & 0x10000) === 0;
const pendingGroups = (upper) => (upper >> 8) & 0xff;
const isBarrierSync = (op, upper) => op === 0x51d && (upper & 0x10000) !== 0;
const INSTRUCTION_BYTES = 16;
const TEXT = '.text.';

/**
 * @param {Buffer} elf a cubin
 * @returns {Map<string, Record<string, number>>} by mangled name; `total` counts everything. Of loops that keep a wgmma in
 *   flight: `mufuBesideWgmma`, the fewest MUFU between a wait that leaves one pending and the next wait, and
 *   `barrierToWgmma`, the most instructions from a ping-pong barrier to the wgmma that it lets begin; −1 where there are none
 */
export function countOpcodes(elf) {
  if (elf.readUInt32BE(0) !== 0x7f454c46 || elf[4] !== 2) throw new Error('Expected a 64-bit ELF file');
  const sectionsAt = Number(elf.readBigUInt64LE(0x28));
  const sectionBytes = elf.readUInt16LE(0x3a);
  const sectionCount = elf.readUInt16LE(0x3c);
  const section = (index) => {
    const at = sectionsAt + index * sectionBytes;
    const start = Number(elf.readBigUInt64LE(at + 0x18));
    return { name: elf.readUInt32LE(at), start, end: start + Number(elf.readBigUInt64LE(at + 0x20)) };
  };
  const names = section(elf.readUInt16LE(0x3e));
  const kernels = new Map();
  for (let i = 0; i < sectionCount; i++) {
    const { name, start, end } = section(i);
    const nameAt = names.start + name;
    const text = elf.toString('latin1', nameAt, elf.indexOf(0, nameAt));
    if (text.startsWith(TEXT)) kernels.set(text.slice(TEXT.length), count(elf, start, end));
  }
  return kernels;
}

function count(elf, start, end) {
  const counts = Object.fromEntries(Object.keys(OPCODES).map((name) => [name, 0]));
  for (let at = start; at < end; at += INSTRUCTION_BYTES) {
    const op = elf.readUInt16LE(at) & 0xfff;
    for (const [name, matches] of Object.entries(OPCODES)) if (matches(op)) counts[name]++;
  }
  return { ...counts, ...order(elf, start, end), total: (end - start) / INSTRUCTION_BYTES };
}

// ptxas may move instructions across waits, where nothing in the source shows it.
function order(elf, start, end) {
  const instruction = (at) => [elf.readUInt16LE(at) & 0xfff, elf.readUInt32LE(at + 8)];
  let mufuBesideWgmma = -1;
  let barrierToWgmma = -1;
  for (let at = start; at < end; at += INSTRUCTION_BYTES) {
    const [op, upper] = instruction(at);
    if (isWait(op, upper) && pendingGroups(upper) === 1) {
      let mufu = 0;
      for (
        let next = at + INSTRUCTION_BYTES;
        next < end && !isWait(...instruction(next));
        next += INSTRUCTION_BYTES
      ) {
        mufu += OPCODES.MUFU(instruction(next)[0]) ? 1 : 0;
      }
      mufuBesideWgmma = mufuBesideWgmma < 0 ? mufu : Math.min(mufuBesideWgmma, mufu);
      let barrier = at;
      while (barrier > start && !isBarrierSync(...instruction(barrier))) barrier -= INSTRUCTION_BYTES;
      let first = barrier;
      while (barrier > start && !isArrive(...instruction(first))) first += INSTRUCTION_BYTES;
      if (barrier > start) {
        barrierToWgmma = Math.max(barrierToWgmma, (first - barrier) / INSTRUCTION_BYTES);
      }
    }
  }
  return { mufuBesideWgmma, barrierToWgmma };
}
