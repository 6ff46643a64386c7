// What the comparison with peers says: sentences, tables, and who has no numbers for which reason.
import {
  distinct,
  factorText,
  groupBy,
  inputText,
  listText,
  megabytes,
  plain,
  significant,
  spreadText,
  table,
  timeText,
} from './text.mjs';

export const OURS = 'ba-sam';

const isOk = ({ status }) => status === 'ok';
const caseOf = ({ model, size, dtype }) => `${model} ${dtype} ${size}`;

/** Our row of the same model, size and dtype, if it has numbers. */
export function oursBeside(rows, row) {
  return rows.find((other) => other.peer === OURS && isOk(other) && caseOf(other) === caseOf(row));
}

/** What ba-sam is beside a peer: `faster`, `slower`, or `open` where the ranges of all runs overlap. */
export function timeVerdict(row, ours) {
  return ours.max_ms < row.min_ms ? 'faster' : ours.min_ms > row.max_ms ? 'slower' : 'open';
}

/**
 * A peer's row against ours: factors above 1 speak for us.
 *
 * @returns `{ time, memory, verdict, memoryVerdict }`; verdict as timeVerdict has it; memoryVerdict: `less`, `more` or `the same`
 */
export function against(row, ours) {
  const memory = row.peak_rss_mb / ours.peak_rss_mb;
  const memoryVerdict = memory > 1 ? 'less' : memory < 1 ? 'more' : 'the same';
  return { time: row.ms / ours.ms, verdict: timeVerdict(row, ours), memory, memoryVerdict };
}

/** One sentence per peer and dtype, for time and for memory. */
export function peerFindings({ rows }) {
  const others = rows.filter((row) => row.peer !== OURS && isOk(row) && oursBeside(rows, row));
  const groups = groupBy(
    others,
    ({ peer, dtype, model }) => `${plain(peer)}, ${dtype}${modelText(rows, model)}`,
  );
  return [...groups].map(([name, group]) => {
    const compared = [...group]
      .sort((a, b) => a.size - b.size)
      .map((row) => ({ size: row.size, ...against(row, oursBeside(rows, row)) }));
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

function sentence(compared, key, factor, kinds) {
  return kinds
    .map(([kind, say]) => [compared.filter((one) => one[key] === kind), say])
    .filter(([list]) => list.length > 0)
    .map(([list, say]) => say(listText(list.map((one) => `${one.size} px (${factorText(one[factor])})`))))
    .join('; ');
}

// Named only where there are several.
function modelText(rows, model) {
  return distinct(rows.map((row) => row.model)).length > 1 ? `, ${model}` : '';
}

/** How the turns were taken, as far as the result says; and whether it is all that was asked for. */
export function turnsText({ rows, rounds, runs_per_turn: runs, limits, complete }) {
  const references = distinct(rows.map(({ reference }) => reference).filter(Boolean));
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
export function peerTables({ rows }) {
  const tables = groupBy(rows.filter(isOk), ({ dtype, model }) => `${model}, ${dtype}`);
  return [...tables].map(([name, group]) => `**${name}**\n\n${peerTable(rows, group)}`).join('\n\n');
}

export const VERDICT_WORDS = { faster: 'ba-sam faster', slower: 'ba-sam slower', open: 'ranges overlap' };
const MEMORY_WORDS = { less: 'ba-sam less', more: 'ba-sam more', 'the same': 'the same' };

function peerTable(rows, group) {
  const columns = [
    ...['input', 'peer', 'time', 'runs', 'against ba-sam', 'first run', 'load'],
    ...['peak memory', 'memory against ba-sam', 'difference'],
  ];
  const lines = [...group]
    .sort((a, b) => a.size - b.size || a.ms - b.ms)
    .map((row) => {
      const ours = oursBeside(rows, row);
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
export function peersWithout({ rows }) {
  const missing = rows.filter((row) => !isOk(row));
  const groups = groupBy(missing, ({ peer, status, reason, dtype }) =>
    JSON.stringify([peer, status, reason, dtype]),
  );
  return [...groups.values()].map((group) => {
    const [{ peer, status, reason, dtype }] = group;
    const sizes = group.map(({ size, model }) => `${size} px${modelText(rows, model)}`);
    return `- **${plain(peer)}**, ${dtype}, ${listText(distinct(sizes))}: ${MISSING[status]}: ${plain(reason)}`;
  });
}
