"""ba-sam's attention kernels beside PyTorch's, on the same tensors in one process:

    python3 bench/peers/attention.py --library build-cuda/Release/libba_sam_attention.so [--quick] [--out FILE]

First every variant is compared with float64: our error may be twice that of eager PyTorch in the same dtype. Then times:
CUDA events, warm-up, medians, graph replay for short calls, random normal inputs. TFLOP/s = 4 N^2 D H / time (windows:
4 N S^2 D H). The card's rate in an 8192^3 bf16 product is measured before and after, in the same run.
--device cpu --library <emulated> runs the comparison alone, on the host emulation.
"""
import argparse
import datetime
import json
import os
import subprocess
import sys
import warnings

import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from attention_cases import Case, Inputs, eager_case  # noqa: E402
from attention_peers import Skip, compiled_peers_of, flex, peers_of  # noqa: E402
from libba_sam import BaSamError, Library  # noqa: E402
from timing import Budget, card, gemm_tflops, measure  # noqa: E402

METRICS = ('manhattan', 'euclidean', 'chebyshev')
ROWS_CHECKED = 64


def small_cases(quick):
    """Odd grids, every metric, dtype and head size, windows with pads; small enough for the emulation."""
    cases = [
        Case(2, 64, (7, 9), rel=False),
        Case(2, 64, (7, 9)),
        Case(1, 80, (12, 20), metric='euclidean'),
        Case(2, 80, (9, 5), window=4),
        Case(2, 32, (5, 19), metric='manhattan', start=2.5, dtype='f16'),
        Case(1, 16, (13, 3), rel=False, metric='chebyshev', dtype='f16'),
        Case(2, 128, (6, 11), metric='chebyshev', start=1.0),
        Case(2, 24, (4, 7), metric='euclidean', dtype='f32'),
        Case(2, 64, (9, 11), window=7, dtype='f32'),
        Case(3, 64, (16, 16), window=14, batch=2),
    ]
    if quick:
        return cases
    for metric in (None,) + METRICS:
        for dim in (64, 80):
            cases.append(Case(2, dim, (17, 33), metric=metric))
            cases.append(Case(2, dim, (33, 17), metric=metric, start=3.0, dtype='f16'))
        cases.append(Case(2, 64, (6, 70), metric=metric))
        cases.append(Case(2, 48, (9, 13), metric=metric, dtype='f32', batch=2))
    cases += [Case(2, dim, (20, 24), window=14, dtype=dtype) for dim in (64, 80) for dtype in ('bf16', 'f16', 'f32')]
    cases += [Case(2, dim, (8, 40), rel=False) for dim in (16, 32, 64, 80, 128)]
    return cases


def timed_cases(quick):
    models = ((12, 64), (16, 80))
    sides = (64, 128) if quick else (64, 128, 256)
    biases = [dict(rel=False), dict(), dict(metric='euclidean')]
    if not quick:
        biases += [dict(metric='manhattan'), dict(metric='chebyshev')]
    out = [Case(h, d, (side, side), **bias) for side in sides for h, d in models for bias in biases]
    out += [Case(h, d, (64, 64), window=14) for h, d in models]
    if not quick:
        out += [Case(h, d, (128, 128), window=14) for h, d in models] + [Case(16, 80, (64, 64), window=14, batch=8)]
        out += [Case(12, 64, (96, 171)), Case(12, 64, (40, 64), metric='euclidean')]
    return out


def errors(got, want):
    """Root mean square and largest difference; NaN stays NaN."""
    difference = got.double() - want
    return difference.square().mean().sqrt().item(), difference.abs().max().item()


def within(ours, plain):
    """Our errors are at most twice those of eager PyTorch; NaN is not."""
    return all(a <= 2 * b for a, b in zip(ours, plain))


def ours(library, inputs):
    """A prepared call and its output, poisoned so that an element that is not written shows."""
    out = torch.full_like(inputs.q, float('nan'), memory_format=torch.contiguous_format)
    return library.prepare(out, inputs.q, inputs.k, inputs.v, **inputs.options()), out


def compare(library, case, device):
    """Ours and eager PyTorch against float64, every output; twice, to the bit the same."""
    inputs = Inputs(case, device)
    call, out = ours(library, inputs)
    call()
    first = out.clone()
    out.fill_(float('nan'))
    call()
    want = eager_case(inputs, torch.float64)
    plain = errors(eager_case(inputs), want)
    mine = errors(out, want)
    same = torch.equal(first, out)
    row = {'case': case.name, 'rms': mine[0], 'max': mine[1], 'eager_rms': plain[0], 'eager_max': plain[1]}
    if not same:
        row['failed'] = 'two runs differ'
    elif not within(mine, plain):
        row['failed'] = 'error above twice that of eager PyTorch'
    return row


def compare_flex(case, device):
    """The peer's formula is ours: its error is that of the same dtype, too. Uncompiled, since only the formula is asked."""
    warnings.filterwarnings('ignore', message='flex_attention called without torch.compile')
    inputs = Inputs(case, device)
    want = eager_case(inputs, torch.float64)
    got = flex(compile=False)(inputs)().transpose(1, 2)
    mine, plain = errors(got, want), errors(eager_case(inputs), want)
    row = {'case': f'flex {case.name}', 'rms': mine[0], 'max': mine[1], 'eager_rms': plain[0], 'eager_max': plain[1]}
    return row if within(mine, plain) else {**row, 'failed': 'the formula in FlexAttention is another one'}


def correctness(library, device, quick):
    rows = []
    for case in small_cases(quick):
        try:
            rows.append(compare(library, case, device))
        except (BaSamError, RuntimeError) as error:
            rows.append({'case': case.name, 'failed': str(error).splitlines()[0]})
    for metric in (None,) + METRICS:
        case = Case(2, 64, (8, 16), metric=metric, dtype='f32')
        try:
            rows.append(compare_flex(case, device))
        except Exception as error:  # a peer that does not run here is no fault of ours
            rows.append({'case': f'flex {case.name}', 'skipped': first_line(error)})
    for row in rows:
        if 'failed' in row:
            print('FAILED', json.dumps(row), flush=True)
    return rows


def first_line(error):
    return f'{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ""}'[:300]


def checked(inputs, out, rows, want, plain):
    """Sampled queries of a timed output: as strict as the small cases."""
    got = out if rows is None else out[:, rows]
    mine = errors(got, want)
    return {'rms': mine[0], 'eager_rms': plain[0], 'ok': within(mine, plain)}


def tflops(case, result):
    return {**result, 'tflops': round(case.flops / result['ms'] / 1e9, 1)}


class Problem:
    """One timed case: inputs, and what sampled queries of it should give."""

    def __init__(self, case, device):
        # Short calls rotate over several inputs, which together stay in the cache less easily than one.
        self.case = case
        self.inputs = [Inputs(case, device, seed) for seed in range(4 if case.tokens <= 4096 else 1)]
        self.rows = None
        if not case.window:
            self.rows = torch.randperm(case.tokens, device=device)[:ROWS_CHECKED].sort().values
        self.want = eager_case(self.inputs[0], torch.float64, self.rows)
        self.plain = errors(eager_case(self.inputs[0], None, self.rows), self.want)

    def checked(self, out):
        return checked(self.inputs[0], out, self.rows, self.want, self.plain)


def time_ours(library, problem):
    """Ours alone."""
    case = problem.case
    row = {'case': case.name, 'tokens': case.tokens, 'head_dim': case.head_dim, 'heads': case.heads, 'bias': case.bias,
           'window': case.window, 'batch': case.batch, 'tflop': case.flops / 1e12,
           'bias_gib': round(case.bias_bytes / 2 ** 30, 2), 'peers': {}}
    try:
        calls = [ours(library, each) for each in problem.inputs]
        row['ours'] = tflops(case, measure([call for call, _ in calls]))
        row['ours']['workspace_mib'] = round(calls[0][0].workspace_bytes / 2 ** 20, 1)
        row['ours'].update(problem.checked(calls[0][1]))
    except (BaSamError, RuntimeError) as error:
        row['ours'] = {'failed': first_line(error)}
    return row


def time_peers(problem, row, peers, budget):
    """Adds peers to a row, and how much faster we are."""
    case = problem.case
    for name, (make, same_formula) in peers.items():
        if budget.left() < 0:
            row['peers'][name] = {'skipped': 'out of time'}
            continue
        try:
            calls = [make(each) for each in problem.inputs]
            result = tflops(case, measure(calls))
            if same_formula and not case.window:
                result.update(problem.checked(calls[0]().transpose(1, 2)))
            row['peers'][name] = result
        except Skip as skip:
            row['peers'][name] = {'skipped': str(skip)}
        except Exception as error:  # a backend that refuses says why in its own words
            row['peers'][name] = {'refused': first_line(error)}
        calls = None
        torch.cuda.empty_cache()
    row['ratios'] = ratios(row)


def time_all(library, device, quick, budget, result, path):
    """First ours and what is ready to run, for every case; then what is compiled first, while there is time."""
    gemm = result['gemm_tflops'][0]
    for case in timed_cases(quick):
        problem = Problem(case, device)
        row = time_ours(library, problem)
        result['cases'].append(row)
        time_peers(problem, row, peers_of(case, quick), budget)
        show(row, gemm)
        write(result, path)
    for case, row in zip(timed_cases(quick), result['cases']):
        peers = compiled_peers_of(case)
        if budget.left() < 0:
            row['peers'].update({name: {'skipped': 'out of time'} for name in peers})
        elif peers:
            time_peers(Problem(case, device), row, peers, budget)
            show(row, gemm)
            write(result, path)


def ratios(row):
    """Time of the fastest peer of each kind over ours: above 1 we are faster."""
    if 'ms' not in row['ours']:
        return {}
    kinds = {'sdpa without bias': lambda name: name.startswith('sdpa') and 'bias' not in name,
             'sdpa with bias': lambda name: name.startswith('sdpa') and name.endswith('+ bias'),
             'sdpa with bias made': lambda name: name.startswith('sdpa') and name.endswith('made'),
             'flex': lambda name: name == 'flex', 'flex with terms made': lambda name: name == 'flex + terms made',
             'eager': lambda name: name == 'eager'}
    out = {}
    for kind, matches in kinds.items():
        times = [(peer['ms'], name) for name, peer in row['peers'].items() if matches(name) and 'ms' in peer]
        if times:
            ms, name = min(times)
            out[kind] = {'peer': name, 'ratio': round(ms / row['ours']['ms'], 2)}
    return out


def show(row, gemm):
    ours_text = f"{row['ours']['ms']:.4g} ms {row['ours']['tflops']:.0f} TFLOP/s" if 'ms' in row['ours'] else str(row['ours'])
    if 'ms' in row['ours']:
        ours_text += f" ({row['ours']['tflops'] / gemm:.2f} of GEMM)"
    versus = ', '.join(f"{kind} {entry['ratio']}x" for kind, entry in row['ratios'].items())
    print(f"{row['case']}: {ours_text}; {versus}", flush=True)


def commit():
    if 'BA_SAM_COMMIT' in os.environ:
        return os.environ['BA_SAM_COMMIT']
    try:
        here = os.path.dirname(os.path.abspath(__file__))
        return subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=here, capture_output=True, text=True,
                              check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return 'unknown'


def write(result, path):
    if path:
        with open(path, 'w', encoding='utf-8') as file:
            json.dump(result, file, indent=1)
            file.write('\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--library', default='build-cuda/Release/libba_sam_attention.so')
    parser.add_argument('--device', default='cuda', choices=('cuda', 'cpu'))
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--seconds', type=float, default=1800, help='after this long peers are skipped')
    parser.add_argument('--out')
    args = parser.parse_args()
    device = torch.device(args.device)
    torch.backends.cuda.matmul.allow_tf32 = False
    library = Library(args.library)
    result = {'benchmark': 'attention', 'date': datetime.date.today().isoformat(), 'commit': commit(),
              'version': library.version(), 'torch': torch.__version__, 'device': args.device,
              'correctness': correctness(library, device, args.quick), 'cases': []}
    write(result, args.out)
    if device.type == 'cuda':
        budget = Budget(args.seconds)
        result['card'] = [card()]
        result['gemm_tflops'] = [gemm_tflops()]
        result['card'].append(card())
        time_all(library, device, args.quick, budget, result, args.out)
        result['gemm_tflops'].append(gemm_tflops())
        result['card'].append(card())
    timed = [case['ours'] for case in result['cases']]
    rows = result['correctness'] + timed
    failed = sum('failed' in row or row.get('ok') is False for row in rows)
    skipped = sum('skipped' in row for row in rows)
    write(result, args.out)
    print(f'{len(rows) - failed - skipped} passed, {failed} failed' + (f', {skipped} skipped' if skipped else ''))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
