"""What gpu_check.py runs, in the order of what matters most: later steps get the time that is left."""
import os
import platform
import shutil
from dataclasses import dataclass, field
from typing import Callable

# Files that steps write into the scratch folder, and the names their content gets in the report.
REPORTS = {'attention': 'attention.json', 'encoder': 'encoder.json', 'encoder_transformers': 'encoder-transformers.json'}
# nvidia-smi is read again after these.
STATE_AFTER = ('attention beside PyTorch', 'encoder', 'encoder of transformers')


@dataclass
class Step:
    name: str
    command: Callable  # Check -> list of arguments
    limit_s: float
    files: list = field(default_factory=list)  # of the repository
    skip: Callable = lambda check: None  # Check -> a reason, or None
    least_s: float = 15  # not begun with less time than this
    env: dict = field(default_factory=dict)
    fallback: dict = field(default_factory=dict)  # environment of the steps after it, when it fails
    keep: Callable = None  # output -> what the report keeps of it


def needs_build(name):
    def reason(check):
        if check.dry and not check.build:
            return None
        return None if os.path.exists(check.path(name)) else f'{name} was not built'
    return reason


def needs_tool(tool, name):
    def reason(check):
        return needs_build(name)(check) or (None if shutil.which(tool) or check.dry else f'{tool} is not installed')
    return reason


def needs_python(*modules):
    import importlib.util
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    return f'{", ".join(missing)} is not installed' if missing else None


def needs_node(check):
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if check.node is None:
        return 'no Node'
    for name in ('dist/cli/main.js', 'node_modules/commander', 'node_modules/zod'):
        if not os.path.exists(os.path.join(root, name)):
            return f'{name} is not there'
    return needs_build('ba_sam_cuda.node')(check)


def build_command(check):
    """Without Node: the kernels, their C library and the native tests; the addon where Node-API's headers are."""
    code = check.gpu['compute_cap'].replace('.', '') if check.gpu else '90'
    folder = os.path.join(check.scratch, 'build')
    headers = [os.path.abspath(os.path.join('node_modules', name)) for name in ('node-addon-api', 'node-api-headers/include')]
    options = ['-DBA_SAM_CUDA=ON', '-DBA_SAM_CUDA_TESTS=ON', f'-DBA_SAM_CUDA_ARCH={code}', '-DCMAKE_BUILD_TYPE=Release',
               f'-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={folder}/Release']
    if all(os.path.exists(path) for path in headers):
        options.append(f'-DCMAKE_JS_INC={";".join(headers)}')
    configure = ' '.join(f"'{option}'" for option in options)
    return ['bash', '-c', f'cmake -S . -B {folder} {configure} && cmake --build {folder} -j {os.cpu_count()}']


def test_program(name, limit_s, least_s=5, fallback={}, **env):
    label = f'{name} {" ".join(env.values())}'.strip()
    return Step(label, lambda check: [check.path(f'tests/{name}')], limit_s, [f'test/cuda/{name}.cpp'],
                needs_build(f'tests/{name}'), least_s, env, fallback)


def sanitizer(tool, name, limit_s, **env):
    return Step(f'{tool} of {name}',
                lambda check: ['compute-sanitizer', '--tool', tool, '--error-exitcode', '9', check.path(f'tests/{name}')],
                limit_s, [f'test/cuda/{name}.cpp'], needs_tool('compute-sanitizer', f'tests/{name}'), 20, env)


def attention_command(check):
    return ['python3', 'bench/peers/attention.py', '--library', check.path('libba_sam_attention.so'), '--quick',
            '--seconds', f'{min(110, max(20, check.left() - 100)):.0f}', '--out', os.path.join(check.scratch, 'attention.json')]


def golden_command(check):
    pixels = ['--pixels', check.pixels] if check.pixels else []
    return [check.node or 'node', 'test/cuda/golden.mjs', '--device', 'cuda', *pixels]


def with_addon(step):
    """Node finds the addon of this build."""
    inner = step.command

    def command(check):
        check.env['BA_SAM_CUDA_ADDON'] = check.path('ba_sam_cuda.node')
        return inner(check)
    step.command = command
    return step


def encoder_command(check):
    return [check.node or 'node', 'dist/cli/main.js', 'bench', 'encoder', '--device', 'cuda', '--models', 'vit-b',
            '--sizes', '1024,2048', '--dtypes', 'bf16', '--runs', '20', '--profile', '--json', os.path.join(check.scratch, 'encoder.json')]


def encoder_h_command(check):
    return [check.node or 'node', 'dist/cli/main.js', 'bench', 'encoder', '--device', 'cuda', '--models', 'vit-h',
            '--sizes', '1024', '--dtypes', 'bf16', '--runs', '20', '--profile', '--json', os.path.join(check.scratch, 'encoder-vit-h.json')]


def encoder_f8_command(check):
    return [check.node or 'node', 'dist/cli/main.js', 'bench', 'encoder', '--device', 'cuda', '--models', 'vit-b,vit-h', '--f8',
            '--sizes', '1024', '--dtypes', 'bf16', '--runs', '20', '--profile', '--json', os.path.join(check.scratch, 'encoder-f8.json')]


def transformers_command(check):
    return ['python3', 'bench/peers/encoder.py', '--models', 'vit-b,vit-h', '--sizes', '1024',
            '--variants', 'sdpa,eager,sdpa compiled,sdpa graphed', '--seconds', f'{min(80, max(20, check.left() - 40)):.0f}',
            '--out', os.path.join(check.scratch, 'encoder-transformers.json')]


def ncu_command(check):
    metrics = ['sm__throughput.avg.pct_of_peak_sustained_elapsed', 'sm__inst_executed_pipe_tensor.sum',
               'sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active',
               'sm__inst_executed_pipe_xu.sum', 'sm__warps_active.avg.pct_of_peak_sustained_active',
               'l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum', 'gpu__time_duration.sum',
               'smsp__inst_executed.sum', 'lts__t_bytes.sum']
    return ['ncu', '--clock-control', 'none', '--metrics', ','.join(metrics), '-k', 'regex:mma_attention', '--launch-skip', '1',
            '--launch-count', '1', check.path('tests/attention_bench'), 'once', 'global 64x64 D64 bf16 rel+euclidean ']


def attention_bench(*parts, kernel='', rows=''):
    """Natively; kernel, and rows of queries per warp of the portable one, instead of the library's own choice."""
    label = ' '.join(['native attention benchmark', *parts, *([kernel] if kernel else []), *([f'{rows} rows'] if rows else [])])
    return Step(label, lambda check: [check.path('tests/attention_bench'), 'time=0.03', *(f'{part} ' for part in parts)], 20,
                ['bench/cuda/attention_bench.cpp'], needs_build('tests/attention_bench'), 6,
                {name: value for name, value in (('BA_SAM_CUDA_ATTENTION', kernel), ('BA_SAM_CUDA_ATTENTION_ROWS', rows)) if value},
                keep=last_lines(60))


def last_lines(count):
    return lambda text: text.splitlines()[-count:]


def versions(check, output_of):
    import torch
    import importlib.metadata
    out = {'python': platform.python_version(), 'torch': torch.__version__, 'torch_cuda': torch.version.cuda,
           'nvcc': output_of(['nvcc', '--version']).rsplit('\n', 1)[-1], 'cublaslt': os.path.basename(check.env.get('BA_SAM_CUBLASLT', '')),
           'node': output_of([check.node, '--version']) if check.node else None, 'cores': os.cpu_count()}
    for package in ('triton', 'transformers'):
        try:
            out[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return out


# The names of kHopperSchedules (native/ops/attention/cuda/hopper_attention.h); test/cuda/build.test.ts compares them.
HOPPER_SCHEDULES = ('hopper', 'hopper-intra-warpgroup', 'hopper-pingpong', 'hopper-cluster', 'hopper-three-consumers')

STEPS = [
    Step('build', build_command, 200,
         ['CMakeLists.txt', 'native/backends/cuda/CMakeLists.txt', 'native/backends/cuda/nvcc.options', 'package.json'],
         lambda check: 'a build is given' if check.build else (None if shutil.which('cmake') else 'no cmake')),
    test_program('geometry_test', 20),
    test_program('c_api_test', 20),
    # A kernel that is wrong, or hangs, must not take the rest of the run with it.
    test_program('attention_sm90_test', 60, fallback={'BA_SAM_CUDA_ATTENTION': 'portable'}),
    test_program('attention_test', 90),
    test_program('gemm_test', 60),
    test_program('ops_test', 60, BA_SAM_TEST_GRAPHS='50'),
    test_program('linear_f8_sm90_test', 30),
    with_addon(Step('golden encoders and predictions', golden_command, 60,
                    ['test/cuda/golden.mjs', 'test/fixtures/golden/d64.json', 'models/sam-nano.safetensors',
                     'examples/images/demo.png'], needs_node)),
    sanitizer('memcheck', 'c_api_test', 40),
    Step('attention beside PyTorch', attention_command, 170,
         ['bench/peers/attention.py', 'bench/peers/attention_cases.py', 'bench/peers/attention_peers.py',
          'bench/peers/libba_sam.py', 'bench/peers/timing.py'],
         lambda check: needs_python('torch') or needs_build('libba_sam_attention.so')(check), 40),
    with_addon(Step('encoder', encoder_command, 60, ['lib/cli/bench.ts', 'lib/bench/encoder.ts'], needs_node, 20)),
    with_addon(Step('encoder ViT-H', encoder_h_command, 60, ['lib/cli/bench.ts', 'lib/bench/encoder.ts'], needs_node, 20)),
    with_addon(Step('encoder with f8', encoder_f8_command, 60, ['lib/cli/bench.ts', 'lib/bench/encoder.ts'], needs_node, 20)),
    Step('encoder of transformers', transformers_command, 110, ['bench/peers/encoder.py'],
         lambda check: needs_python('torch', 'transformers'), 30),
    Step('profile of one attention kernel', ncu_command, 30, ['bench/cuda/attention_bench.cpp'],
         needs_tool('ncu', 'tests/attention_bench'), 15, keep=last_lines(25)),
    sanitizer('memcheck', 'attention_sm90_test', 60, CASE='grid 5x64 D64 rel'),
    sanitizer('racecheck', 'c_api_test', 40),
    sanitizer('racecheck', 'attention_sm90_test', 60, CASE='grid 5x64 D64 rel'),
    attention_bench('bf16'),
    *(attention_bench('bf16', 'global', kernel=kernel) for kernel in HOPPER_SCHEDULES),
    attention_bench('bf16', 'window', kernel='portable'),
    attention_bench('bf16', 'global', kernel='portable', rows='16'),
    attention_bench('bf16', 'global', kernel='portable', rows='32'),
    attention_bench('f32'),
    sanitizer('memcheck', 'ops_test', 60, BA_SAM_TEST_GRAPHS='4'),
]
REPORTS['encoder_vit_h'] = 'encoder-vit-h.json'
REPORTS['encoder_f8'] = 'encoder-f8.json'
