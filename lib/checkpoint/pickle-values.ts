// The values that a restricted unpickler can produce. Dictionaries are Maps, so that no key from a file can
// reach an object's prototype.
import type { CheckpointDType } from './dtype';

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PyTuple
  | PyList
  | PyDict
  | PySet
  | PyGlobal
  | PyOpaque
  | PyStorage
  | PyTensor;

export class PyTuple {
  constructor(readonly items: readonly PickleValue[]) {}
}

export class PyList {
  constructor(readonly items: PickleValue[] = []) {}
}

/** `dict`, `collections.OrderedDict` and the like. */
export class PyDict {
  readonly entries = new Map<PickleValue, PickleValue>();

  /** @param of the class that the file says it is, where nothing is known of that */
  constructor(readonly of?: string) {}
}

/** Sets are legal in a checkpoint but hold no tensors, so their elements are not kept. */
export class PySet {}

/** A name that was looked up, such as `torch.FloatStorage`. It is only a name: nothing is imported or called. */
export class PyGlobal {
  constructor(
    /** As the file spells it, `module.name`. */
    readonly name: string,
    /** False for what may be the class of a dict: what is done with it must show that. */
    readonly known = true,
  ) {}
}

/** A harmless value that nobody reads, such as a `torch.device`. */
export class PyOpaque {
  constructor(readonly what: string) {}
}

/** A storage in the archive: a flat array that tensors are views of. */
export class PyStorage {
  constructor(
    /** Name of the entry below `data/`. */
    readonly key: string,
    /** Undefined for an untyped storage, which is plain bytes. */
    readonly dtype: CheckpointDType | undefined,
    readonly byteLength: number,
  ) {}
}

/** A view of a storage; offset and strides count elements. Lies inside its storage (checked when made). */
export class PyTensor {
  constructor(
    readonly storage: PyStorage,
    readonly dtype: CheckpointDType,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    readonly offset: number,
    readonly byteLength: number,
  ) {}
}

/** A pickle that is damaged, hostile or uses what a checkpoint must not; the reader prefixes the file's path. */
export class PickleError extends Error {}
