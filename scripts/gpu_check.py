"""The runner behind gpu-check.sh: prepares a build and an environment, runs the steps of gpu_steps.py one after another,
each with a time limit, and writes down what they said."""
import argparse
import datetime
import glob
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gpu_steps  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COUNTS = re.compile(r'^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$', re.MULTILINE)
RESERVE_S = 10  # for writing results


def output_of(command, timeout=30):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ''


def gpu_state():
    """What nvidia-smi reads now; None without a GPU. Nothing is ever changed."""
    fields = ['name', 'driver_version', 'compute_cap', 'memory.total', 'clocks.sm', 'clocks.mem', 'temperature.gpu', 'power.draw']
    line = output_of(['nvidia-smi', f'--query-gpu={",".join(fields)}', '--format=csv,noheader'])
    values = [value.strip() for value in line.splitlines()[0].split(',')] if line else []
    return dict(zip(fields, values)) if len(values) == len(fields) else None


def find_cublaslt():
    """PyTorch's own, or one of NVIDIA's packages beside it; None when there is neither."""
    patterns = []
    for name in ('nvidia', 'torch'):
        spec = importlib.util.find_spec(name)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            patterns += [f'{folder}/*/lib/libcublasLt.so.*', f'{folder}/lib/libcublasLt.so.*']
    patterns += ['/usr/local/cuda*/lib64/libcublasLt.so.*', '/usr/lib/*/libcublasLt.so.*']
    found = [file for pattern in patterns for file in sorted(glob.glob(pattern))]
    return found[0] if found else None


class Check:
    def __init__(self, args):
        self.args = args
        self.start = time.monotonic()
        self.scratch = tempfile.mkdtemp(prefix='ba-sam-gpu-')
        self.gpu = gpu_state()
        self.dry = args.dry_run or self.gpu is None
        self.node = None
        self.build = os.environ.get('BA_SAM_CUDA_BUILD')
        self.pixels = None
        self.env = dict(os.environ)
        self.log_path = os.path.join(self.scratch, 'gpu-check.log')
        self.log = open(self.log_path, 'w', encoding='utf-8', errors='replace')
        self.results = []

    def left(self):
        return self.args.seconds - RESERVE_S - (time.monotonic() - self.start)

    def prepare(self):
        for file in (self.args.file, os.environ.get('NODE')):
            if file:
                self.take(os.path.abspath(file))
        self.node = self.node or shutil.which('node')
        cublaslt = find_cublaslt()
        if cublaslt:
            self.env.setdefault('BA_SAM_CUBLASLT', cublaslt)
            self.env['LD_LIBRARY_PATH'] = os.pathsep.join(
                [os.path.dirname(cublaslt)] + [path for path in [self.env.get('LD_LIBRARY_PATH')] if path])
        self.env.setdefault('BA_SAM_COMMIT', self.commit())
        self.env['PYTHONUNBUFFERED'] = '1'

    def take(self, file):
        """A bundle, a Node executable, or one packed by xz."""
        if file.endswith('.tar.xz'):
            with tarfile.open(file) as archive:
                archive.extractall(self.scratch, filter='data')
            bundle = os.path.join(self.scratch, 'gpu-bundle')
            for name in ('dist', 'node_modules'):
                if not os.path.exists(os.path.join(ROOT, name)):
                    shutil.copytree(os.path.join(bundle, name), os.path.join(ROOT, name))
            self.node = os.path.join(bundle, 'node')
            self.build = self.build or os.path.join(bundle, 'build')
            self.env['BA_SAM_ADDON'] = os.path.join(bundle, 'cpu/ba_sam.node')
            with open(os.path.join(bundle, 'pixels'), encoding='utf-8') as size:
                self.pixels = f'{bundle}/demo.rgb,{size.read()}'
            with open(os.path.join(bundle, 'commit'), encoding='utf-8') as text:
                self.env.setdefault('BA_SAM_COMMIT', text.read().strip())
            return
        if file.endswith('.xz'):
            import lzma
            self.node = os.path.join(self.scratch, 'node')
            with lzma.open(file) as packed, open(self.node, 'wb') as out:
                shutil.copyfileobj(packed, out)
            os.chmod(self.node, 0o755)
            return
        self.node = file

    def commit(self):
        return output_of(['git', 'rev-parse', '--short', 'HEAD']) or 'unknown'

    def path(self, name):
        """A file of the build: libba_sam_attention.so, ba_sam_cuda.node, tests/attention_test."""
        return os.path.join(self.build or os.path.join(self.scratch, 'build'), 'Release', name)

    def run(self, step):
        """One step: a reason to skip it, or its exit, its counts and its time."""
        record = {'step': step.name}
        self.results.append(record)
        missing = [file for file in step.files if not os.path.exists(os.path.join(ROOT, file))]
        if missing:
            return self.end(record, 'failed', f'not there: {", ".join(missing)}')
        reason = step.skip(self)
        if reason is None and self.dry:
            reason = f'would run: {" ".join(step.command(self))}' if self.gpu else f'no GPU; {" ".join(step.command(self))}'
        if reason is None and self.left() < step.least_s:
            reason = f'{max(0, self.left()):.0f} s left of {self.args.seconds}'
        if reason is not None:
            return self.end(record, 'skipped', reason)
        limit = min(step.limit_s, self.left())
        command = step.command(self)
        self.log.write(f'\n=== {step.name}: {" ".join(command)}\n')
        self.log.flush()
        started = time.monotonic()
        exit_code, text = self.execute(command, limit, step.env)
        record['seconds'] = round(time.monotonic() - started, 1)
        self.log.write(text)
        counts = COUNTS.findall(text)
        if counts:
            record['counts'] = [int(number or 0) for number in counts[-1]]
        if step.keep:
            record['output'] = step.keep(text)
        if exit_code != 0 and step.fallback:
            self.env.update(step.fallback)
            record['fallback'] = step.fallback
        if exit_code is None:
            return self.end(record, 'failed', f'stopped after {limit:.0f} s', text)
        if exit_code != 0:
            return self.end(record, 'failed', f'exit {exit_code}', text)
        return self.end(record, 'passed', '')

    def execute(self, command, limit, extra):
        """Exit code (None: out of time) and output. A command is a process group, so that nothing of it is left."""
        with tempfile.TemporaryFile('w+', encoding='utf-8', errors='replace') as sink:
            try:
                child = subprocess.Popen(command, cwd=ROOT, env={**self.env, **extra}, stdin=subprocess.DEVNULL, stdout=sink,
                                         stderr=subprocess.STDOUT, start_new_session=True)
            except OSError as error:
                return 127, str(error)
            try:
                code = child.wait(timeout=limit)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                code = None
            sink.seek(0)
            return code, sink.read()

    def end(self, record, result, reason, text=''):
        record['result'] = result
        if reason:
            record['reason'] = reason
        counts = record.get('counts')
        said = f' ({counts[0]} passed, {counts[1]} failed)' if counts else ''
        took = f' {record["seconds"]} s' if 'seconds' in record else ''
        print(f'{result:8}{record["step"]}{took}{said}{": " + reason if reason else ""}', flush=True)
        if result == 'failed' and text:
            print('\n'.join(f'    {line}' for line in text.splitlines()[-15:]), flush=True)

    def totals(self):
        """Tests that programs counted; a step without counts of its own is one."""
        passed = failed = skipped = 0
        for record in self.results:
            counts = record.get('counts')
            if counts:
                passed, failed, skipped = [a + b for a, b in zip((passed, failed, skipped), counts)]
            if record['result'] == 'failed' and not (counts and counts[1]):
                failed += 1
            elif record['result'] == 'skipped':
                skipped += 1
            elif not counts and record['result'] == 'passed':
                passed += 1
        return passed, failed, skipped

    def report(self, states):
        slug = re.sub(r'[^a-z0-9]+', '-', self.gpu['name'].lower()).strip('-')
        result = {'benchmark': 'gpu-check', 'date': datetime.date.today().isoformat(), 'commit': self.env['BA_SAM_COMMIT'],
                  'gpu': self.gpu['name'], 'driver': self.gpu['driver_version'], 'states': states,
                  'versions': gpu_steps.versions(self, output_of), 'steps': self.results}
        for name, file in gpu_steps.REPORTS.items():
            path = os.path.join(self.scratch, file)
            if os.path.exists(path):
                with open(path, encoding='utf-8') as text:
                    result[name] = json.load(text)
        name = f'{result["date"]}-{slug}.json'
        target = os.path.join(ROOT, 'bench/results', name)
        with open(target, 'w', encoding='utf-8') as file:
            json.dump(result, file, indent=1)
            file.write('\n')
        print(f'bench/results/{name}')
        if os.environ.get('OUT'):
            shutil.copy(target, os.environ['OUT'])
            shutil.copy(self.log_path, os.environ['OUT'])

    def main(self):
        print(f'GPU: {self.gpu["name"]}, driver {self.gpu["driver_version"]}' if self.gpu else 'no GPU here: a dry run')
        self.prepare()
        states = [self.gpu]
        for step in gpu_steps.STEPS:
            self.run(step)
            if step.name in gpu_steps.STATE_AFTER and not self.dry:
                states.append({'after': step.name, **(gpu_state() or {})})
        self.log.close()
        if not self.dry:
            self.report(states)
        shutil.rmtree(self.scratch, ignore_errors=True)
        passed, failed, skipped = self.totals()
        print(f'{passed} passed, {failed} failed, {skipped} skipped')
        return 1 if failed else 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description='Checks and measures ba-sam on a GPU')
    parser.add_argument('--dry-run', action='store_true')
    parser.add_argument('--seconds', type=float, default=470)
    parser.add_argument('file', nargs='?')
    sys.exit(Check(parser.parse_args()).main())
