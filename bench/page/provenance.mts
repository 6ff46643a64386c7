// The head of the performance page: machine, versions, dates.
import { gpuName } from './gpu.mts';
import type { PageResults, Results } from './results.mts';
import type { GpuCheck, PageResult } from './schemas.mts';
import { distinct, groupBy, listText, plain, table } from './text.mts';

type AnyResult = NonNullable<Results[keyof Results]>;

/** The results that are there. */
export const present = ({ attention, encoder, decoder, peers }: Results): AnyResult[] =>
  [attention, encoder, decoder, peers].filter((result) => result !== undefined);

/** The table at the top of the page. */
export function provenance({ cpu, gpus }: PageResults): string {
  const rows = [...cpuRows(present(cpu)), ...peerRows(cpu.peers)];
  for (const results of gpus.values()) {
    const measured = present(results).filter(({ file }) => file !== results.check?.file);
    const texts = [agreed(measured, gpuText), results.check && checkText(results.check)].filter(Boolean);
    rows.push(['GPU', `${plain(gpuName(results))}: ${texts.join('; ')}`]);
  }
  if (gpus.size === 0) rows.push(['GPU', 'nothing has been measured on a GPU yet']);
  return table(['', ' '], rows, ['', ' ']);
}

/** The machine in words: `AMD EPYC, 2 cores, 23.5 GiB of memory`. */
export function machineText({ machine: { cpu, cores, memory_gb } }: AnyResult): string {
  return `${plain(cpu)}, ${cores} cores, ${memory_gb} GiB of memory`;
}

function cpuRows(results: readonly AnyResult[]): [string, string][] {
  if (results.length === 0) return [['CPU', 'nothing has been measured on a CPU yet']];
  const facts: readonly [string, (result: AnyResult) => string | number | undefined][] = [
    ['machine', machineText],
    ['instructions', ({ machine }) => machine.isa],
    ['threads', ({ machine }) => machine.threads],
    ['ba-sam', ({ version, commit }) => `${version}, commit ${commit}`],
    ['oneDNN', ({ machine }) => machine.oneDNN],
    ['Node.js', ({ node }) => node],
    ['date', ({ date }) => date],
  ];
  return facts
    .map(([name, of]): [string, string] => [name, agreed(results, of)])
    .filter(([, value]) => value !== '');
}

/** One value where all results agree; otherwise every value with the benchmarks that it holds for. */
function agreed(
  results: readonly AnyResult[],
  of: (result: AnyResult) => string | number | undefined,
): string {
  const known = results.filter((result) => of(result) !== undefined);
  const groups = [...groupBy(known, (result) => String(of(result)))];
  if (groups.length < 2) return groups.map(([value]) => value).join('');
  return groups
    .map(([value, same]) => `${value} (${listText(same.map(({ benchmark }) => benchmark))})`)
    .join('; ');
}

function gpuText(result: AnyResult): string {
  const { machine, version, commit, node, date } = result;
  const parts = [
    machine.driver && `driver for CUDA ${machine.driver}`,
    machine.runtime && `runtime ${machine.runtime}`,
    machine.cublasLt && `cuBLASLt ${plain(machine.cublasLt)}`,
    `ba-sam ${version}, commit ${commit}`,
    `Node.js ${node}`,
    `beside ${machineText(result)}`,
    date,
  ];
  return parts.filter(Boolean).join(', ');
}

/** A run of scripts/gpu-check.sh. */
function checkText({ driver, versions, commit, date }: GpuCheck): string {
  const parts = Object.entries(versions ?? {}).filter(([, version]) => version);
  return [
    driver && `driver ${plain(driver)}`,
    ...parts.map(([name, version]) => plain(`${name} ${version}`)),
    `commit ${commit}`,
    date,
  ]
    .filter(Boolean)
    .join(', ');
}

/** What every peer reports about itself; peers that agree share a row. */
function peerRows(result: PageResult<'peers'> | undefined): [string, string][] {
  const others = (result?.rows ?? []).flatMap(({ peer, versions }) =>
    peer !== 'ba-sam' && versions ? [{ peer, versions }] : [],
  );
  const texts = [...groupBy(others, ({ peer }) => peer)].map(([peer, rows]) => ({
    peer,
    text: distinct(rows.map(({ versions }) => versionsText(peer, versions))).join('; '),
  }));
  return [...groupBy(texts, ({ text }) => text)].map(([text, same]) => [
    listText(same.map(({ peer }) => plain(peer))),
    text,
  ]);
}

function versionsText(peer: string, versions: Readonly<Record<string, string>>): string {
  return Object.entries(versions)
    .sort(([a], [b]) => Number(b === peer) - Number(a === peer))
    .map(([name, version]) => plain(name === peer ? version : `${name} ${version}`))
    .join(', ');
}
