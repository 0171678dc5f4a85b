"""Joins a training process with its peers through torch.distributed and Gloo, as torchrun starts them.

It reads requests from standard input and answers on standard output: a request is three little-endian u32
(operation, type of numbers on the wire, payload bytes) and its payload, an answer two (0 or 1 for an error's text, payload bytes) and its.
The end of standard input is the end of the training process.
"""

import os
import signal
import struct
import sys
import time
from datetime import timedelta

SUM, BROADCAST, GATHER, FAIL = range(4)
FAILED = "failed"
LOOK_SECONDS = 2


def read(size):
    payload = sys.stdin.buffer.read(size)
    if len(payload) < size:
        raise EOFError
    return bytearray(payload)


def answer(payload, status=0):
    sys.stdout.buffer.write(struct.pack("<II", status, len(payload)))
    sys.stdout.buffer.write(payload)
    sys.stdout.buffer.flush()


def refuse(text):
    answer(text.encode(), status=1)
    sys.exit(1)


try:
    import torch
    import torch.distributed as dist
except ImportError as error:
    refuse(f"{sys.executable} cannot import torch: {error}")

WIRE_DTYPES = [torch.float32, torch.float16, torch.bfloat16]
MOST_F16 = 32768.0
residual = torch.empty(0)  # what rounding to the wire's type has taken from the last gradients: it goes with the next


def tensor_of(payload, dtype):
    return torch.frombuffer(payload, dtype=dtype) if payload else torch.empty(0, dtype=dtype)


def sum_rounded(values, dtype):
    """Sums in place with half the bytes on the wire, and error feedback (arXiv 1901.09847)."""
    global residual
    if residual.shape == values.shape:
        values += residual
    scale = torch.ones(())
    if dtype == torch.float16:
        largest = values.abs().max()
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        if largest > 0 and largest.isfinite():
            scale = torch.exp2(torch.floor(torch.log2(MOST_F16 / (largest * dist.get_world_size()))))
    rounded = (values * scale).to(dtype)
    kept = values - rounded.to(torch.float32) / scale
    residual = kept if kept.isfinite().all() else torch.empty(0)
    dist.all_reduce(rounded)
    values.copy_(rounded.to(torch.float32) / scale)


def broadcast(payload):
    size = torch.tensor([len(payload)])
    dist.broadcast(size, 0)
    payload = payload if dist.get_rank() == 0 else bytearray(int(size))
    dist.broadcast(tensor_of(payload, torch.uint8), 0)
    return payload


def gather(payload):
    """All payloads, each behind its length."""
    every = [None] * dist.get_world_size()
    dist.all_gather_object(every, bytes(payload))
    return b"".join(struct.pack("<I", len(one)) + one for one in every)


def compute(operation, wire, payload):
    if operation == GATHER:
        return gather(payload)
    if operation == BROADCAST:
        return broadcast(payload)
    values = tensor_of(payload, torch.float32)
    if wire == 0:
        dist.all_reduce(values)
    else:
        sum_rounded(values, WIRE_DTYPES[wire])
    return payload


def why(store, error):
    """What the peer that failed has said, which may take it a moment, or else the error itself."""
    end = time.monotonic() + LOOK_SECONDS
    try:
        while time.monotonic() < end:
            if store.check([FAILED]):
                return store.get(FAILED).decode()
            time.sleep(0.05)
    except Exception:
        pass  # the store has ended, too
    return f"the exchange failed, since a rank has ended or does not answer: {error}"


def serve(store, rank):
    """Answers until the training process ends, and tells the others when it does: who still waits for it is not to wait long."""
    try:
        while True:
            operation, wire, size = struct.unpack("<III", read(12))
            payload = read(size)
            if operation == FAIL:
                store.set(FAILED, f"rank {rank}: {payload.decode()}")
                answer(b"")
                return
            try:
                result = compute(operation, wire, payload)
            except Exception as error:  # whatever Gloo throws: the training process says it
                refuse(why(store, error))
            answer(result)
    except (EOFError, BrokenPipeError):
        store.set(FAILED, f"rank {rank} has ended")


def main():
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)  # the training process decides, and ends this one by ending itself
    timeout = timedelta(seconds=float(sys.argv[1]))
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=timeout))
        # torchrun keeps one store over its restarts: addresses of the last attempt are nobody's now.
        store = dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=timeout)
    except Exception as error:
        address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        refuse(f"the ranks do not meet at {address}: {error}")
    answer(b"")
    serve(store, rank)


main()
