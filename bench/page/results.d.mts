// Types of results.mjs for its test.
export interface PageResult {
  readonly benchmark: string;
  readonly file: string;
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}
type Kinds = Readonly<Partial<Record<'attention' | 'encoder' | 'decoder' | 'peers', PageResult>>>;
export interface PageResults {
  readonly cpu: Kinds;
  readonly gpus: ReadonlyMap<string, Kinds>;
}
/** Undefined when there is nothing. */
export function readResults(folder: string): PageResults | undefined;
