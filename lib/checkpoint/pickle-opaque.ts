// Python objects that people keep beside their weights: options, paths, times, losses as numpy scalars. They are read past as
// opaque values; nothing of them is kept, and nothing is called.

/** Classes and functions of the standard library and of PyTorch whose results only describe. */
const OPAQUE: ReadonlySet<string> = new Set([
  ...['argparse.Namespace', 'types.SimpleNamespace', 'collections.Counter', 'decimal.Decimal', 'uuid.UUID'],
  ...['fractions.Fraction', 'builtins.complex', 'builtins.range', 'builtins.slice'],
  ...['date', 'datetime', 'time', 'timedelta', 'timezone'].map((name) => `datetime.${name}`),
  // Python 3.13 moved them.
  ...['pathlib', 'pathlib._local'].flatMap((module) =>
    ['Path', 'PosixPath', 'WindowsPath', 'PurePath', 'PurePosixPath', 'PureWindowsPath'].map(
      (name) => `${module}.${name}`,
    ),
  ),
  ...['torch.device', 'torch.torch_version.TorchVersion', 'torch.serialization._get_layout'],
]);

/** Numbers, element types, arrays and random generators of numpy, before and after version 2. */
const NUMPY =
  /^numpy\.(_?core\.multiarray\.(scalar|_reconstruct)|_?core\.numeric\._frombuffer|random\._pickle\.__\w+_ctor|random\.\w+\.__pyx_unpickle_\w+|dtype|dtypes\.\w+DType)$/;

/** Types that are named without being called: of the values of a defaultdict, of an array, of a tensor. */
const TYPES: ReadonlySet<string> = new Set([
  ...['bool', 'bytes', 'dict', 'float', 'int', 'list', 'object', 'set', 'str', 'tuple'].map(
    (name) => `builtins.${name}`,
  ),
  ...['builtins.Ellipsis', 'builtins.NotImplemented', 'numpy.ndarray', 'torch.Tensor'],
  ...['torch.nn.parameter.Parameter', 'torch.nn.parameter.Buffer'],
]);
const NUMPY_TYPES =
  /^numpy\.(bool_?|u?int(8|16|32|64|c|p|_)?|float(16|32|64|128|_)?|complex(64|128|256|_)?|u?longlong|str_|bytes_|void|datetime64|timedelta64|random\.\w+\.[A-Z]\w+)$/;

/** Whether what a name makes, however it is called, is a value that nobody reads. */
export function isOpaque(name: string): boolean {
  return OPAQUE.has(name) || NUMPY.test(name);
}

/** Whether a name is that of a type which may be named, but not called. */
export function isType(name: string): boolean {
  return TYPES.has(name) || NUMPY_TYPES.test(name);
}

/**
 * Whether a name that is not known may be that of a class: a subclass of `dict` is written as a class that is called without
 * arguments and filled with items. Functions that do something without arguments, such as `os.abort`, are not spelled this way.
 */
export function isClassLike(name: string): boolean {
  return /^[A-Za-z_][\w.]*\._*[A-Z]\w*$/.test(name) && !/^(builtins|__builtin__)\./.test(name);
}
