"""Several processes by torchrun or by -device_ids; each function answers sensibly when there is one process."""

from __future__ import annotations

import os
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from utils.cli import device_list, pick_device
from utils.errors import Terminated, UserError, run
from utils.files.locks import Lock
from utils.memory import keep_freed_memory

PATIENCE = timedelta(hours=2)  # so long processes wait for the main one, which may prepare features


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this process writes files and prints."""
    return rank() == 0


def highest(values: Sequence[Tensor | float], device: torch.device) -> list[float]:
    """The largest that any process has of each value, in all of them; waits for the device once."""
    # torch.full fills on the device, where a copy of a Python number would wait for it.
    fill = partial(torch.full, (), dtype=torch.float32, device=device)
    together = torch.stack(
        [one if isinstance(one, Tensor) else fill(fill_value=float(one)) for one in values]
    )
    if dist.is_initialized():
        dist.all_reduce(together, op=dist.ReduceOp.MAX)
    return together.tolist()


def gather(value: Any) -> list[Any]:
    """The value of every process, in order of rank; returns when the last has handed in its own."""
    if not dist.is_initialized():
        return [value]
    values = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def share_out(jobs: Sequence[Any], work: Callable[[Any], Any]) -> Iterator[Any]:
    """work(job) of every job, in order, in every process; each job is done by one of them, the next by the next.

    They go on together, one job each at a time. A UserError in one of them is raised in all.
    """
    for start in range(0, len(jobs), world_size()):
        mine, done, mistake = jobs[start + rank() :][:1], [], None
        try:
            done = [work(job) for job in mine]
        except UserError as error:
            mistake = error
        answers = gather((done, mistake))
        for _, error in answers:
            if error is not None:
                raise error
        for results, _ in answers:
            yield from results


def take_for_all(lock: Lock) -> Lock:
    """The main process takes a lock for all processes of this run. Raises UserError in all where another run has it."""
    mistake = None
    if is_main():
        try:
            lock.take()
        except UserError as error:
            mistake = error
    mistake = gather(mistake)[0]
    if mistake is not None:
        raise mistake
    return lock


def parallel(model: nn.Module, device: torch.device) -> nn.Module:
    """The model, wrapped so that its gradients are averaged over the processes."""
    if not dist.is_initialized():
        return model
    # Buffers are running statistics: each process keeps its own, and the main one's are saved.
    ids = [device.index] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(model, device_ids=ids, broadcast_buffers=False)


def launch(train: Callable[[Namespace, torch.device], None], args: Namespace) -> None:
    """Runs `train` on one device, on all of -device_ids, or as one of torchrun's processes."""
    keep_freed_memory()
    ids = device_list(args.device_ids)
    if "LOCAL_RANK" in os.environ:
        with group(args.cuda) as device:
            train(args, device)
        return
    if not (args.cuda and torch.cuda.is_available()) or len(ids) == 1:
        train(args, pick_device(args.cuda, args.device_ids))
        return
    if max(ids) >= torch.cuda.device_count():
        raise UserError(
            f"-device_ids {args.device_ids}: this machine has {torch.cuda.device_count()} GPU(s), from 0"
        )
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", str(29500 + os.getpid() % 1000))
    _attend(torch.multiprocessing.spawn(_spawned, (train, args, ids), nprocs=len(ids), join=False))


def _attend(processes: torch.multiprocessing.ProcessContext) -> None:
    """Waits for processes to end, and hands on a SIGTERM. Raises SystemExit with the status of one that failed."""
    stop: KeyboardInterrupt | None = None
    while True:
        try:
            if processes.join():
                break
        except torch.multiprocessing.ProcessExitedException as ended:
            sys.exit(ended.exit_code)  # it has said why
        except KeyboardInterrupt as signalled:  # Ctrl-C has reached them all
            stop = signalled
            for pid in processes.pids() if isinstance(signalled, Terminated) else ():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
    if stop:
        raise stop


def _spawned(number: int, train: Callable, args: Namespace, ids: list[int]) -> None:
    os.environ.update(RANK=str(number), LOCAL_RANK=str(ids[number]), WORLD_SIZE=str(len(ids)))

    def train_in_group(args: Namespace) -> None:
        with group(cuda=True) as device:
            train(args, device)

    status = run(train_in_group, lambda: args)
    if status:
        sys.exit(status)


@contextmanager
def group(cuda: bool, patience: timedelta = PATIENCE) -> Iterator[torch.device]:
    """Joins the process group that the environment describes; NCCL on GPUs, gloo on CPUs; gives this process's device.

    patience: how long one process waits for another (default: two hours).
    """
    use_gpu = cuda and torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if use_gpu else torch.device("cpu")
    if use_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if use_gpu else "gloo", timeout=patience)
    try:
        yield device
    finally:
        dist.destroy_process_group()
