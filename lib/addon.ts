// The shape of the native addons: what each exports, as lib/native.ts loads it.

/** Cancels a run; without effect once it is over. */
export interface NativeToken {
  cancel(): void;
}

export interface NativeWeights {
  readonly byteLength: number;
  set(
    name: string,
    source: string,
    dtype: string,
    shape: readonly number[],
    bytes: Uint8Array,
    /** Not copied: the caller vouches that nobody else has their buffer, or ever will. */
    moved?: boolean,
  ): Promise<void>;
  /** Makes a parameter or changes it, in order with runs. */
  setParameter(
    name: string,
    dtype: string,
    shape: readonly number[],
    values: TensorData,
    token?: NativeToken,
  ): Promise<void>;
  readParameter(name: string, out: TensorData, token?: NativeToken): Promise<void>;
  dispose(): void;
}

export type TensorData = Float32Array | Uint8Array | Int32Array | Uint16Array;

/** A run's output in native memory: an input of later runs, of this addon, without a copy. */
export interface NativeHeld {
  readonly byteLength: number;
}

export interface NativePlan {
  /** Size of the arena in bytes; 0 before the first run. */
  readonly arenaBytes: number;
  /** Inputs are copied before it returns, but for held ones; nobody may have the arrays of outputs until it is settled. */
  run(
    inputs: readonly (TensorData | NativeHeld)[],
    outputs: readonly (TensorData | NativeHeld)[],
    token?: NativeToken,
    onProgress?: (fraction: number) => void,
    profile?: boolean,
  ): Promise<Float64Array | undefined>;
  dispose(): void;
}

/** What every addon has. Objects of one addon mean nothing to another. */
export interface NativeAddon {
  readonly version: number;
  readonly CancelToken: new () => NativeToken;
  /** options: of the backend, see `SessionOptions`; `device` is CUDA's index. */
  readonly Weights: new (options?: {
    threads?: number;
    isa?: string;
    device?: number;
    tf32?: boolean;
  }) => NativeWeights;
  readonly Plan: new (weights: NativeWeights, graph: Uint8Array) => NativePlan;
  readonly Held: new (dtype: string, elements: number) => NativeHeld;
  shutDown(): void;
  opTable(): { name: string; inputs: string[]; outputs: string[] }[];
  /** Number of nodes; throws ERR_GRAPH. */
  checkGraph(graph: Uint8Array): number;
  /** Multiply-adds × 2 of every node's products and convolutions; throws ERR_GRAPH. */
  graphFlops(graph: Uint8Array): Float64Array;
}

/** What a build and the machine it runs on can do. */
export interface CpuInfo {
  readonly backend: 'cpu';
  /** Instruction set of the attention kernels: scalar, avx2, avx512 or avx512_bf16. */
  readonly isa: string;
  readonly supportedIsas: readonly string[];
  /** Threads of the compute team. */
  readonly threads: number;
  /** How many were asked for, where the system gave fewer; 0 otherwise, and before the first run. */
  readonly threadsRefused: number;
  readonly oneDNN: string;
  /** Empty when bf16 can be used. */
  readonly bf16UnavailableReason: string;
}

/** The addon that is always needed: it computes on the CPU, and resizes images whatever computes. */
export interface CpuAddon extends NativeAddon {
  info(): CpuInfo;
  /** Locks an open file for its descriptor alone: 0, or errno. The kernel unlocks it when the descriptor is closed. */
  lockFile(fd: number): number;
  setThreads(threads: number): void;
  /**
   * Scales rgb into the top left of `out` [inputHeight, inputWidth, 3] and leaves the rest of it as it is. Nobody may touch either
   * until the promise is settled.
   */
  resizeImage(
    rgb: Uint8Array,
    width: number,
    height: number,
    scaledWidth: number,
    scaledHeight: number,
    inputWidth: number,
    inputHeight: number,
    out: Uint8Array,
    token?: NativeToken,
  ): Promise<void>;
  /**
   * Run-length encodes masks of `width` × `height` px from low-resolution logits [masks, lowHeight, lowWidth], which nobody may touch
   * until the promise is settled.
   */
  encodeMasks(
    low: Float32Array,
    masks: number,
    lowWidth: number,
    lowHeight: number,
    inputWidth: number,
    inputHeight: number,
    contentWidth: number,
    contentHeight: number,
    width: number,
    height: number,
    token?: NativeToken,
  ): Promise<NativeRle[]>;
}

/** COCO's run lengths of a mask, its area in pixels and its bounding box [x, y, width, height]. */
export interface NativeRle {
  readonly counts: string;
  readonly area: number;
  readonly bbox: [number, number, number, number];
}

/** One GPU. */
export interface CudaDevice {
  readonly index: number;
  readonly name: string;
  /** As NVIDIA counts: "9.0". */
  readonly computeCapability: string;
  readonly memoryBytes: number;
  readonly freeBytes: number;
  /** Device memory that this process's models take now, and took at most. */
  readonly allocatedBytes: number;
  readonly peakBytes: number;
  /** Why it cannot be used; absent when it can. */
  readonly reason?: string;
}

export interface CudaInfo {
  readonly backend: 'cuda';
  /** Versions, "13.0"; empty when there is none. */
  readonly driver: string;
  readonly runtime: string;
  readonly cublasLt: { readonly version: string; readonly path: string } | { readonly reason: string };
  readonly devices: readonly CudaDevice[];
  /** Why no device can be used; empty when one can. */
  readonly unavailableReason: string;
}

export interface CudaAddon extends NativeAddon {
  /** Never throws. */
  info(): CudaInfo;
  /** Starts a device's `peakBytes` anew from what is allocated now. */
  resetPeakBytes(device?: number): void;
}
