// What a process of the study has in common, whatever it measures: its share of the scenes, and a note after each.
import { type Protocol, serve } from '../../lib/runtime/process-worker.ts';

/** Measures some scenes. `onScene` is to be called after every scene at every size. */
export type Part<Options, Result> = (
  options: Options,
  seeds: readonly number[],
  onScene: () => Promise<void>,
) => Promise<Result>;

export interface PartProtocol<Options, Result> extends Protocol {
  readonly setup: undefined;
  readonly job: { readonly options: Options; readonly seeds: readonly number[] };
  readonly note: undefined;
  /** With the seconds of processor time that it took. */
  readonly result: { readonly result: Result; readonly cpu_s: number };
}

/** Makes this process one of `overCores`. */
export function servePart<Options, Result>(part: Part<Options, Result>): void {
  serve<PartProtocol<Options, Result>>(async () => async ({ options, seeds }, note) => {
    const start = process.cpuUsage();
    const result = await part(options, seeds, () => note(undefined));
    const { user, system } = process.cpuUsage(start);
    return { result, cpu_s: (user + system) / 1e6 };
  });
}
