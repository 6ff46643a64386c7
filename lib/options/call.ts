// Cancelling, progress and profile of one call.
import type { ProfileRow } from '../graph/profile';
import type { OptionsOf } from './option';
import { abortSignal, callback } from './validate';

export const callShape = {
  /** Aborting rejects with the signal's reason. */
  signal: abortSignal.optional(),
  /** Called with a fraction between 0 and 1. */
  onProgress: callback<[fraction: number]>().optional(),
};

/** Cancelling and progress of one call. */
export interface CallOptions extends OptionsOf<typeof callShape> {}

export const profileShape = {
  /** Called with the time of every node after each graph of the call. */
  onProfile: callback<[rows: readonly ProfileRow[]]>().optional(),
};

/** Profile of one call. */
export interface ProfileOptions extends OptionsOf<typeof profileShape> {}
