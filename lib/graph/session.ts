// Runs graphs on a device: weights uploaded once, one plan per graph, a few plans kept, clean disposal.
import type { NativeAddon, NativeHeld, NativePlan, NativeToken, NativeWeights, TensorData } from '../addon';
import { deviceName, resolveDevice } from '../device';
import { invalidArgument, SamError } from '../errors';
import { cudaAddon, fromNative, native } from '../native';
import type { OpName } from '../ops';
import {
  type RunOptions,
  type SessionOptions,
  type SessionRunOptions,
  type SessionWeightOptions,
  sessionRunSchema,
  sessionSchema,
  sessionWeightSchema,
} from '../options/session';
import { isTypedArray, parse } from '../options/validate';
import { checkShape, type DType, elementCount, Graph, type Shape } from './graph';

// A plan is small (its arena belongs to the weights), except for folded constants: resized positions of a large grid.
const MAX_PLANS = 24;

interface CachedPlan {
  readonly plan: NativePlan;
  readonly outputs: readonly { shape: Shape; dtype: DType }[];
  readonly ops: readonly OpName[];
  readonly bytes: Uint8Array;
  /** Of every node; known once a profile was asked for. */
  flops?: Float64Array;
}

/** An output of a run with `hold: true`: an input of later runs of the same session that is not copied. */
export interface Held {
  readonly byteLength: number;
}

/**
 * The weights of one model on one device, and its plans. Several runs may be started at once; the compute thread
 * takes them in order.
 */
export class Session {
  /** `cpu` or `cuda:<index>`. */
  readonly device: 'cpu' | `cuda:${number}`;
  private readonly addon: NativeAddon;
  private readonly weights: NativeWeights;
  private readonly plans = new Map<string, CachedPlan>();
  private readonly inFlight = new Map<NativeToken, Promise<unknown>>();
  private disposal: Promise<void> | undefined;

  /** @throws SamError ERR_INVALID_ARGUMENT; ERR_DEVICE_UNAVAILABLE with every reason */
  constructor(options: SessionOptions = {}) {
    const { device, tf32, threads, isa } = parse(sessionSchema, options, 'options');
    const resolved = typeof device === 'object' ? device : resolveDevice(device);
    this.device = deviceName(resolved);
    try {
      if (resolved.kind === 'cpu') {
        this.addon = native();
        this.weights = new this.addon.Weights({ threads, isa });
      } else {
        for (const [name, value] of Object.entries({ threads, isa })) {
          if (value !== undefined) throw invalidArgument(name, 'nothing on CUDA', value);
        }
        this.addon = cudaAddon();
        this.weights = new this.addon.Weights({ device: resolved.index, tf32 });
      }
    } catch (error) {
      throw fromNative(error);
    }
  }

  /** Bytes of all weights, in the dtype they are kept in. */
  get weightBytes(): number {
    return this.weights.byteLength;
  }

  /** Number of plans kept. */
  get planCount(): number {
    return this.plans.size;
  }

  /**
   * Adds a weight. The bytes are copied before this returns, or moved: see {@link SessionWeightOptions}.
   *
   * @param bytes row-major, little-endian elements of dtype `source`
   * @throws SamError ERR_INVALID_ARGUMENT, ERR_OUT_OF_MEMORY, ERR_DISPOSED
   */
  async setWeight(
    name: string,
    source: DType,
    dtype: DType,
    shape: Shape,
    bytes: Uint8Array,
    options: SessionWeightOptions = {},
  ): Promise<void> {
    const { transfer } = parse(sessionWeightSchema, options, 'options');
    this.assertUsable();
    const moved = transfer ? takeBytes(bytes) : undefined;
    try {
      await this.weights.set(name, source, dtype, shape, moved ?? bytes, moved !== undefined);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /**
   * Makes a parameter of the graphs' `parameter` values, or changes it where it lies: runs that were started before see the
   * old value, those that are started after see the new one. The values are copied before this returns.
   *
   * @param values as many elements as the shape says: Float32Array for f32, Uint16Array for the bits of bf16 or f16
   * @throws SamError ERR_INVALID_ARGUMENT, ERR_OUT_OF_MEMORY, ERR_DISPOSED
   */
  async setParameter(name: string, dtype: DType, shape: Shape, values: TensorData): Promise<void> {
    checkShape(name, shape);
    await this.track({}, (token) => this.weights.setParameter(name, dtype, shape, values, token));
  }

  /**
   * Copies a parameter's value into `out`, which has as many bytes, when the promise is settled.
   *
   * @throws SamError ERR_INVALID_ARGUMENT, ERR_DISPOSED
   */
  async readParameter<T extends TensorData>(name: string, out: T): Promise<T> {
    await this.track({}, (token) => this.weights.readParameter(name, out, token));
    return out;
  }

  /**
   * Runs the graph known as `key`, building it with `build` when it is new. Inputs are copied before this returns, but for what
   * an earlier run has held.
   *
   * @returns one typed array per graph output, or one {@link Held} with `hold: true`
   * @throws SamError ERR_GRAPH, ERR_INVALID_ARGUMENT, ERR_OUT_OF_MEMORY, ERR_DISPOSED; the signal's reason when aborted
   */
  run(
    key: string,
    build: () => Graph,
    inputs: readonly (TensorData | Held)[],
    options: SessionRunOptions & { hold: true },
  ): Promise<Held[]>;
  run(
    key: string,
    build: () => Graph,
    inputs: readonly (TensorData | Held)[],
    options?: SessionRunOptions & { hold?: false },
  ): Promise<TensorData[]>;
  async run(
    key: string,
    build: () => Graph,
    inputs: readonly (TensorData | Held)[],
    options: SessionRunOptions = {},
  ): Promise<(TensorData | Held)[]> {
    const { hold, ...run } = parse(sessionRunSchema, options, 'options');
    if (typeof key !== 'string') throw invalidArgument('key', 'string', key);
    if (typeof build !== 'function') throw invalidArgument('build', 'function that builds a graph', build);
    run.signal?.throwIfAborted();
    this.assertUsable();
    const cached = this.plan(key, build);
    const outputs = cached.outputs.map(({ shape, dtype }) =>
      hold ? this.held(dtype, elementCount(shape)) : allocate(dtype, elementCount(shape)),
    );
    const profile = run.onProfile !== undefined;
    const times = await this.track(run, (token, progress) =>
      cached.plan.run(inputs, outputs, token, progress, profile),
    );
    if (this.device === 'cpu') warnOfSmallTeam();
    if (profile && times) {
      cached.flops ??= this.addon.graphFlops(cached.bytes);
      const { ops, flops } = cached;
      run.onProfile?.(ops.map((op, i) => ({ op, milliseconds: times[i]!, flops: flops[i]! })));
    }
    return outputs;
  }

  /**
   * Runs native work under the same rules for abort and disposal.
   *
   * @param addon whose token `start` gets; another than the session's own for work that only the CPU's has
   */
  async track<T>(
    options: RunOptions,
    start: (token: NativeToken, progress: ((fraction: number) => void) | undefined) => Promise<T>,
    addon: NativeAddon = this.addon,
  ): Promise<T> {
    options.signal?.throwIfAborted();
    this.assertUsable();
    return trackNative(addon, options, start, (token, promise) => {
      this.inFlight.set(token, promise);
      void promise.finally(() => this.inFlight.delete(token)).catch(() => {});
    }).catch((error) => {
      throw this.disposal && (error as SamError).code === 'ERR_ABORTED' ? disposedError() : error;
    });
  }

  /** Cancels runs in flight (they reject with ERR_DISPOSED), waits for them and frees everything. Idempotent. */
  dispose(): Promise<void> {
    this.disposal ??= (async () => {
      for (const token of this.inFlight.keys()) token.cancel();
      await Promise.allSettled(this.inFlight.values());
      for (const { plan } of this.plans.values()) plan.dispose();
      this.plans.clear();
      this.weights.dispose();
    })();
    return this.disposal;
  }

  private held(dtype: DType, elements: number): NativeHeld {
    try {
      return new this.addon.Held(dtype, elements);
    } catch (error) {
      throw fromNative(error);
    }
  }

  private assertUsable(): void {
    if (this.disposal) throw disposedError();
  }

  private plan(key: string, build: () => Graph): CachedPlan {
    const known = this.plans.get(key);
    if (known) {
      this.plans.delete(key); // re-inserted below: the map's order is the order of use
      this.plans.set(key, known);
      return known;
    }
    const graph = build();
    if (!(graph instanceof Graph)) throw invalidArgument('build()', 'Graph', graph);
    const bytes = graph.encode();
    let plan: NativePlan;
    try {
      plan = new this.addon.Plan(this.weights, bytes);
    } catch (error) {
      throw fromNative(error);
    }
    const cached: CachedPlan = {
      plan,
      bytes,
      outputs: graph.outputs.map(({ shape, dtype }) => ({ shape, dtype })),
      ops: graph.nodeOps,
    };
    this.plans.set(key, cached);
    if (this.plans.size > MAX_PLANS) {
      const [oldest, evicted] = this.plans.entries().next().value!;
      this.plans.delete(oldest);
      evicted.plan.dispose(); // a run in flight keeps what it needs
    }
    return cached;
  }
}

/**
 * Starts native work with a fresh token and ties it to an `AbortSignal` and a progress callback.
 *
 * @param started sees the token and the native promise, which settles only when native code has let go
 */
async function trackNative<T>(
  addon: NativeAddon,
  options: RunOptions,
  start: (token: NativeToken, progress: ((fraction: number) => void) | undefined) => Promise<T>,
  started: (token: NativeToken, promise: Promise<unknown>) => void = () => {},
): Promise<T> {
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  const token = new addon.CancelToken();
  let callbackError: { error: unknown } | undefined;
  const progress =
    onProgress &&
    ((fraction: number) => {
      try {
        onProgress(fraction);
      } catch (error) {
        callbackError = { error };
        token.cancel();
      }
    });
  let work: Promise<T>;
  try {
    work = start(token, progress);
  } catch (error) {
    throw fromNative(error);
  }
  started(token, work);
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      token.cancel();
      reject(signal!.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } catch (error) {
    if (callbackError) throw callbackError.error;
    if (signal?.aborted) throw signal.reason;
    throw fromNative(error);
  } finally {
    signal?.removeEventListener('abort', onAbort!);
    work.catch(() => {}); // after an abort nobody else looks at it
  }
}

function disposedError(): SamError {
  return new SamError('ERR_DISPOSED', 'The model is disposed');
}

/** The bytes in a buffer that only the callee has, the caller's being detached; undefined when they cannot be moved. */
function takeBytes(bytes: Uint8Array): Uint8Array | undefined {
  if (!isTypedArray(bytes, 'Uint8Array')) return; // native code refuses it
  const { buffer, byteLength } = bytes;
  if (byteLength === 0 || byteLength !== buffer.byteLength) return;
  try {
    return new Uint8Array(structuredClone(buffer, { transfer: [buffer as ArrayBuffer] }));
  } catch {
    return; // shared, or WebAssembly's
  }
}

let teamChecked = false;

// Once in a process: after its first run the team has its size.
function warnOfSmallTeam(): void {
  if (teamChecked) return;
  teamChecked = true;
  const { threads, threadsRefused } = native().info();
  if (threadsRefused === 0) return;
  process.emitWarning(
    `Only ${threads} of ${threadsRefused} threads could be started, so that work takes longer: a limit on processes ` +
      '(ulimit -u, docker --pids-limit) or memory',
    { code: 'BA_SAM_THREADS' },
  );
}

function allocate(dtype: DType, count: number): TensorData {
  try {
    if (dtype === 'f32') return new Float32Array(count);
    if (dtype === 'i32') return new Int32Array(count);
    if (dtype === 'u8') return new Uint8Array(count);
    return new Uint16Array(count);
  } catch (cause) {
    throw new SamError('ERR_OUT_OF_MEMORY', `Could not allocate an output of ${count} elements of ${dtype}`, {
      cause,
    });
  }
}

/**
 * Sets the number of threads of the compute team, for every model of the process. Default: the processors that the
 * process may use, or the environment variable BA_SAM_THREADS. Only before the first run.
 */
export function setThreads(threads: number): void {
  if (!(Number.isInteger(threads) && threads >= 1 && threads <= 1024)) {
    throw invalidArgument('threads', 'integer between 1 and 1024', threads);
  }
  try {
    native().setThreads(threads);
  } catch (error) {
    throw fromNative(error);
  }
}
