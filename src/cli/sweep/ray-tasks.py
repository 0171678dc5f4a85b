"""Runs commands as tasks of a Ray cluster: python ray-tasks.py ADDRESS, a line of JSON on standard input, one a finished command on standard output.

{"resource": NAME, "cwd": FOLDER, "commands": [[WORD, ...], ...]} gives {"resources": AMOUNT}, then {"index": I, "code": N, "tail": TEXT} each.
"""

import ctypes
import json
import signal
import socket
import subprocess
import sys

TAIL_LINES = 8
CONNECT_SECONDS = 10
RETRIES = 5  # of a node that dies: the command goes on from its newest checkpoint


def tell(**values):
    print(json.dumps(values), flush=True)


try:
    import ray
except ImportError as error:
    tell(error=f"{sys.executable} cannot import ray: {error}")
    sys.exit(1)


def end_with_parent():
    """Ray ends a worker at once: Linux then asks the command to end, which saves first."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def run(words, cwd):
    process = subprocess.Popen(
        words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", preexec_fn=end_with_parent
    )
    tail = []
    try:
        for line in process.stdout:
            tail = [*tail, line.rstrip()][-TAIL_LINES:]
        return process.wait(), "\n".join(tail)
    except BaseException:  # the task was cancelled
        process.terminate()
        process.wait()
        raise


def main():
    request = json.loads(sys.stdin.readline())
    resource = request["resource"]
    try:
        if ":" in sys.argv[1] and "://" not in sys.argv[1]:  # Ray itself would try for two minutes
            host, port = sys.argv[1].rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR", namespace="webgpu-lora")
    except Exception as error:
        tell(error=f"no Ray cluster answers at {sys.argv[1]}: {error}")
        sys.exit(1)
    tell(resources=ray.cluster_resources().get(resource, 0))
    task = ray.remote(num_cpus=0, resources={resource: 1}, max_retries=RETRIES)(run)
    waiting = {task.remote(words, request["cwd"]): index for index, words in enumerate(request["commands"])}

    def cancel(*_):
        for ref in waiting:
            ray.cancel(ref)

    signal.signal(signal.SIGTERM, cancel)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this passes it on
    while waiting:
        [done], _ = ray.wait(list(waiting))
        index = waiting.pop(done)
        try:
            code, tail = ray.get(done)
        except Exception as error:
            code, tail = 1, (str(error).strip() or repr(error)).splitlines()[-1]
        tell(index=index, code=code, tail=tail)


main()
