// What the comparison with peers says: sentences, tables, and who has no numbers for which reason.
import type { ComparedPeer, PageResult, Row } from './schemas.mts';
import {
  distinct,
  factorText,
  groupBy,
  inputText,
  listText,
  megabytes,
  plain,
  type Spread,
  significant,
  spreadText,
  table,
  timeText,
} from './text.mts';

export const OURS = 'ba-sam';

/** Whether a peer has numbers that are believed. */
export const isCompared = (row: Row<'peers'>): row is ComparedPeer => row.status === 'ok';
const caseOf = ({ model, size, dtype }: Row<'peers'>) => `${model} ${dtype} ${size}`;

/** Our row of the same model, size and dtype, if it has numbers. */
export function sameCaseOfOurs(rows: readonly Row<'peers'>[], row: Row<'peers'>): ComparedPeer | undefined {
  return rows.filter(isCompared).find((other) => other.peer === OURS && caseOf(other) === caseOf(row));
}

/** What ba-sam is against a peer: `faster`, `slower`, or `open` where the ranges of all runs overlap. */
export function timeVerdict(row: Spread, ours: Spread): keyof typeof VERDICT_WORDS {
  return ours.max_ms < row.min_ms ? 'faster' : ours.min_ms > row.max_ms ? 'slower' : 'open';
}

/**
 * A peer's row against ours: factors above 1 speak for us.
 */
function against(row: ComparedPeer, ours: ComparedPeer) {
  const memory = row.peak_rss_mb / ours.peak_rss_mb;
  const memoryVerdict: keyof typeof MEMORY_WORDS = memory > 1 ? 'less' : memory < 1 ? 'more' : 'the same';
  return { time: row.ms / ours.ms, verdict: timeVerdict(row, ours), memory, memoryVerdict };
}

/** One sentence per peer and dtype, for time and for memory. */
export function peerFindings({ rows }: PageResult<'peers'>): string[] {
  const others = rows.filter(isCompared).flatMap((row) => {
    const ours = row.peer === OURS ? undefined : sameCaseOfOurs(rows, row);
    return ours ? [{ ...row, ...against(row, ours) }] : [];
  });
  const groups = groupBy(
    others,
    ({ peer, dtype, model }) => `${plain(peer)}, ${dtype}${modelText(rows, model)}`,
  );
  return [...groups].map(([name, group]) => {
    const compared = [...group].sort((a, b) => a.size - b.size);
    const times = sentence(compared, 'verdict', 'time', [
      ['faster', (places) => `faster at ${places}`],
      ['slower', (places) => `slower at ${places}`],
      ['open', (places) => `not told apart at ${places}, where the ranges overlap`],
    ]);
    const memory = sentence(compared, 'memoryVerdict', 'memory', [
      ['less', (places) => `lower at ${places}`],
      ['more', (places) => `higher at ${places}`],
      ['the same', (places) => `the same at ${places}`],
    ]);
    return `- **${name}.** ba-sam is ${times}. Its peak memory is ${memory}.`;
  });
}

interface Compared extends ReturnType<typeof against> {
  readonly size: number;
}

function sentence(
  compared: readonly Compared[],
  key: 'verdict' | 'memoryVerdict',
  factor: 'time' | 'memory',
  kinds: readonly (readonly [kind: string, say: (places: string) => string])[],
): string {
  return kinds
    .map(([kind, say]) => ({ list: compared.filter((one) => one[key] === kind), say }))
    .filter(({ list }) => list.length > 0)
    .map(({ list, say }) => say(listText(list.map((one) => `${one.size} px (${factorText(one[factor])})`))))
    .join('; ');
}

// Named only where there are several.
function modelText(rows: readonly Row<'peers'>[], model: string): string {
  return distinct(rows.map((row) => row.model)).length > 1 ? `, ${model}` : '';
}

/** How the turns were taken, as far as the result says; and whether it is all that was asked for. */
export function turnsText({
  rows,
  rounds,
  runs_per_turn: runs,
  limits,
  complete,
}: PageResult<'peers'>): string {
  const references = distinct(rows.filter(isCompared).flatMap(({ reference }) => reference ?? []));
  return [
    rounds && runs && `Rounds of turns: ${rounds}, with ${runs} timed runs in each turn.`,
    limits &&
      `A peer that held more than ${significant(limits.memory_gb)} GiB, or took longer than ${limits.timeout_s} s, was ended.`,
    references.length > 0 && `The reference is ${listText(references.map(plain))}.`,
    complete === false && '**The measurement was interrupted: rows are missing.**',
  ]
    .filter(Boolean)
    .join(' ');
}

/** A table per model and dtype; sizes in order, the fastest first. */
export function peerTables({ rows }: PageResult<'peers'>): string {
  const tables = groupBy(rows.filter(isCompared), ({ dtype, model }) => `${model}, ${dtype}`);
  return [...tables].map(([name, group]) => `**${name}**\n\n${peerTable(rows, group)}`).join('\n\n');
}

export const VERDICT_WORDS = { faster: 'ba-sam faster', slower: 'ba-sam slower', open: 'ranges overlap' };
const MEMORY_WORDS = { less: 'ba-sam less', more: 'ba-sam more', 'the same': 'the same' };

function peerTable(rows: readonly Row<'peers'>[], group: readonly ComparedPeer[]): string {
  const columns = [
    ...['input', 'peer', 'time', 'runs', 'against ba-sam', 'first run', 'load'],
    ...['peak memory', 'memory against ba-sam', 'difference'],
  ];
  const lines = [...group]
    .sort((a, b) => a.size - b.size || a.ms - b.ms)
    .map((row) => {
      const ours = sameCaseOfOurs(rows, row);
      const compared = row.peer !== OURS && ours && against(row, ours);
      return [
        inputText(row),
        row.peer === OURS ? `**${OURS}**` : plain(row.peer),
        spreadText(row),
        row.runs_ms.length,
        compared ? `${factorText(compared.time)}, ${VERDICT_WORDS[compared.verdict]}` : '',
        timeText(row.first_ms),
        `${significant(row.load_s)} s`,
        megabytes(row.peak_rss_mb),
        compared ? `${factorText(compared.memory)}, ${MEMORY_WORDS[compared.memoryVerdict]}` : '',
        row.difference === 0 ? '0' : row.difference.toExponential(1),
      ];
    });
  return table(columns, lines, ['peer']);
}

const MISSING = {
  skipped: 'skipped',
  'out of memory': 'out of memory',
  'timed out': 'timed out',
  disagrees: 'its times are not shown, because its output disagrees',
  failed: 'failed',
};

/** Peers without numbers: which, at what, why. Empty when there are none. */
export function peersWithout({ rows }: PageResult<'peers'>): string[] {
  const missing = rows.filter((row) => row.status !== 'ok');
  const groups = groupBy(missing, ({ peer, status, reason, dtype }) =>
    JSON.stringify([peer, status, reason, dtype]),
  );
  return [...groups.values()].map((group) => {
    const [{ peer, status, reason, dtype }] = group;
    const sizes = group.map(({ size, model }) => `${size} px${modelText(rows, model)}`);
    return `- **${plain(peer)}**, ${dtype}, ${listText(distinct(sizes))}: ${MISSING[status]}: ${plain(reason)}`;
  });
}
