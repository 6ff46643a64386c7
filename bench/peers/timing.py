"""Times on a CUDA device: warm-up, events or graph replay, medians. Reads the card's state, never changes it."""
import statistics
import subprocess
import time

import torch

GRAPH_BELOW_MS = 1.0  # shorter calls are captured, so that launch gaps stay out
CALLS_PER_GRAPH = 20


def measure(calls, seconds=0.25):
    """Times equivalent calls on rotating inputs. Returns ms (median), min_ms, max_ms, runs, graph."""
    for call in calls:
        call()
    torch.cuda.synchronize()
    once = min(_event_ms(call) for call in (calls * 3)[:max(3, len(calls))])
    graph = _capture(calls) if once < GRAPH_BELOW_MS else None
    if graph is not None:
        _event_ms(graph.replay)
        runs = _count(seconds, once * CALLS_PER_GRAPH)
        times = [_event_ms(graph.replay) / CALLS_PER_GRAPH for _ in range(runs)]
    else:
        runs = _count(seconds, once)
        times = [_event_ms(calls[i % len(calls)]) for i in range(runs)]
    return {'ms': _round(statistics.median(times)), 'min_ms': _round(min(times)), 'max_ms': _round(max(times)),
            'runs': runs, 'graph': graph is not None}


def _count(seconds, ms):
    return int(min(50, max(7, seconds * 1e3 / ms)))


def _round(ms):
    return float(f'{ms:.4g}')


def _event_ms(call):
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def _capture(calls):
    """A graph of CALLS_PER_GRAPH calls; None where a call cannot be captured."""
    try:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for i in range(CALLS_PER_GRAPH):
                calls[i % len(calls)]()
        graph.replay()
        torch.cuda.synchronize()
        return graph
    except RuntimeError:
        torch.cuda.synchronize()
        return None


def gemm_tflops(side=8192):
    """The card's bf16 rate on random data: what the other rates are to be divided by."""
    a, b = [torch.randn(side, side, device='cuda', dtype=torch.bfloat16) for _ in range(2)]
    out = torch.empty_like(a)
    result = measure([lambda: torch.matmul(a, b, out=out)])
    return round(2 * side ** 3 / result['ms'] / 1e9, 1)


def card():
    """Name, driver, clocks, temperature and power as nvidia-smi reads them now."""
    fields = ['name', 'driver_version', 'clocks.sm', 'clocks.mem', 'temperature.gpu', 'power.draw']
    try:
        line = subprocess.run(['nvidia-smi', f'--query-gpu={",".join(fields)}', '--format=csv,noheader'],
                              capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()[0]
        return dict(zip(fields, [value.strip() for value in line.split(',')]))
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        return {'nvidia-smi': str(error)}


class Budget:
    """Seconds left of a benchmark; what does not fit is named as skipped."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        return self.end - time.monotonic()
