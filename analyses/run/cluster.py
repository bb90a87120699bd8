"""A study's blocks on a Ray cluster: evaluated by workers, written by one process.

A worker (`run/worker.py`) is an actor. What Ray sends between processes are settings, names of
networks, numbers of games, and arrays. Ray is imported when a study asks for it.
"""

import json
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from harsanyi.analyses.run.blocks import Block, Evaluator
from harsanyi.analyses.run.worker import VERSIONS, Worker, files_of, require_seen, unseen
from harsanyi.analyses.study.study import RAY, Study
from harsanyi.progress import say
from harsanyi.reading import first_line
from harsanyi.stopping import handlers_kept
from harsanyi.writing import write_whole

# How often a block is tried, and how many workers in a row may end before they are ready.
TRIES = 3
# Blocks that are given out before the first of them is written, by worker: the others are held in memory.
AHEAD = 4
# Seconds until the cluster is looked at again: nodes may have come.
LOOK = 2.0
# Lists the blocks that failed, in the folder of a study.
FAILED_FILE = "failed.json"


@contextmanager
def cluster_of(study: Study) -> "Iterator[Cluster | None]":
    """The cluster that a study is evaluated on; None for this process alone.

    Args:
        study: names it.

    Raises:
        ImportError: without Ray.
        ValueError: there is no such cluster, it has no room for a worker, or a node does not see the files of
            the study.
    """
    if study.on is None:
        yield None
        return
    try:
        import ray
    except ImportError as error:
        raise ImportError(f"--on {study.on} needs Ray: pip install 'harsanyi[ray]'") from error
    joined = not ray.is_initialized()
    if joined:
        try:
            with handlers_kept():  # Ray ends on SIGTERM in a way of its own
                ray.init(
                    None if study.on == RAY else study.on, log_to_driver=False, logging_level=logging.WARNING
                )
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(f"--on {study.on}: {first_line(error)}") from error
    try:
        cluster = Cluster(ray, study)
        cluster.require_room()
        cluster.require_visible()
        yield cluster
    finally:
        if joined:
            ray.shutdown()


@dataclass(eq=False)
class Job:
    """A block that is given to workers until one has evaluated it.

    Attributes:
        number: its place in the order of writing.
        block: the block.
        reasons: why it failed, try after try.
        workers: that it failed on.
    """

    number: int
    block: Block
    reasons: list[str] = field(default_factory=list)
    workers: list[Any] = field(default_factory=list)


class Cluster:
    """Nodes of a Ray cluster, and the workers of a study on them."""

    def __init__(self, ray: Any, study: Study) -> None:
        self.ray, self.study = ray, study
        self.resources: dict[str, float] = {"CPU": study.cpus_per_task or 1}
        if study.gpus_per_task is not None:
            self.resources["GPU"] = study.gpus_per_task
        if study.memory_per_task is not None:
            self.resources["memory"] = int(study.memory_per_task * 2**30)

    def require_room(self) -> None:
        """Refuse a cluster without a node for a worker, with a ValueError that says what there is."""
        if not sum(map(self._workers_on, self._nodes())):
            needs = ", ".join(f"{amount:g} {name}" for name, amount in self.resources.items())
            there = "; ".join(
                ", ".join(f"{node['Resources'].get(name, 0):g} {name}" for name in self.resources)
                for node in self._nodes()
            )
            raise ValueError(f"no node of the cluster has room for a worker of {needs}; they have: {there}")

    def require_visible(self) -> None:
        """Refuse nodes that do not see the files of a study, with a ValueError that names both."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        look = self.ray.remote(num_cpus=0, max_retries=TRIES)(unseen)
        asked = [
            (
                node["NodeName"],  # which nodes of one machine share
                look.options(
                    scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                ).remote(str(Path.cwd()), files_of(self.study)),
            )
            for node in self._nodes()
            if self._workers_on(node)
        ]
        for node, answer in asked:
            try:
                missing = self.ray.get(answer)
            except self.ray.exceptions.RayError:
                continue  # the node is lost meanwhile, and gets no worker
            require_seen(node, missing)

    def evaluated(
        self, evaluator: Evaluator, blocks: Iterator[Block], bar: "tqdm[Any]"
    ) -> Iterator[tuple[str, range, dict[str, np.ndarray]]]:
        """The tables of blocks in their order, evaluated by workers.

        A block that fails, or whose worker or node is lost, is tried on another worker. After `TRIES` it is
        left out and recorded in the study's folder, while the others go on.

        Args:
            evaluator: of the study, as one process has it.
            blocks: to evaluate.
            bar: counts forwards.

        Returns:
            for each network of each block: its name, the games, and what `Store.write` takes.

        Raises:
            ValueError: after all other blocks, where some have failed, saying why; at once, where workers
                cannot start, or are given other weights or inputs than this process.
        """
        record = self.study.out / FAILED_FILE
        record.unlink(missing_ok=True)
        failed: list[Job] = []
        for job, tables in self._in_order(evaluator, blocks, bar):
            if tables is None:
                failed.append(job)
                write_whole(record, json.dumps([_told(each) for each in failed], indent=1))
                say(f"WARNING: {job.block} failed {len(job.reasons)} times: {job.reasons[-1]}")
            else:
                for name, of_network in tables.items():
                    yield name, job.block.games, of_network
        if failed:
            raise ValueError(
                f"{failed[0].block} failed {TRIES} times ({failed[0].reasons[-1]})"
                f"{f'; so did {len(failed) - 1} more blocks' if failed[1:] else ''}; see {record}. All "
                "others are kept: the same command tries again what is missing"
            )

    def _in_order(
        self, evaluator: Evaluator, blocks: Iterator[Block], bar: "tqdm[Any]"
    ) -> Iterator[tuple[Job, dict[str, Any] | None]]:
        """Jobs in the order of their blocks, with tables; without, where they failed."""
        crew = Crew(self, evaluator)
        waiting, running = deque[Job](), dict[Any, tuple[Any, Job]]()
        finished: dict[int, tuple[Job, dict[str, Any] | None]] = {}
        given = written = 0
        more, waits = True, False
        try:
            while True:
                while more and given - written < AHEAD * max(1, self._room()):
                    if (block := next(blocks, None)) is None:
                        more = False
                    else:
                        waiting.append(Job(given, block))
                        given += 1
                crew.grow(len(waiting) + len(running))
                for job in list(waiting):
                    if (worker := crew.free_for(job)) is not None:
                        waiting.remove(job)
                        networks, rows = job.block.networks, job.block.games
                        running[worker.tables.remote(networks, rows.start, rows.stop)] = worker, job
                while written in finished:  # while workers work on what was given out just now
                    yield finished.pop(written)
                    written += 1
                if given == written:
                    if not more:
                        return
                    continue
                if not running and not crew.starting:
                    if not waits:
                        say("WARNING: the cluster has no room for a worker: waiting for its nodes")
                    waits = True
                    sleep(LOOK)
                    continue
                waits = False
                done, _ = self.ray.wait([*running, *crew.starting], num_returns=1, timeout=LOOK)
                for answer in done:
                    if answer not in running:
                        crew.started(answer)
                        continue
                    worker, job = running.pop(answer)
                    try:
                        finished[job.number] = job, self.ray.get(answer)
                    except self.ray.exceptions.RayError as error:
                        crew.back(worker, lost=not isinstance(error, self.ray.exceptions.RayTaskError))
                        job.reasons.append(_reason(error))
                        job.workers.append(worker)
                        if len(job.reasons) < TRIES:
                            waiting.appendleft(job)
                        else:
                            finished[job.number] = job, None
                    else:
                        crew.back(worker)
                        rows = job.block.games
                        bar.update(len(job.block.networks) * len(rows) << evaluator.games.n)
        finally:
            crew.end()

    def _nodes(self) -> list[dict[str, Any]]:
        """The nodes that are alive."""
        return [node for node in self.ray.nodes() if node["Alive"]]

    def _workers_on(self, node: Mapping[str, Any]) -> int:
        """How many workers a node has room for."""
        there = node["Resources"]
        return min(int(there.get(name, 0) // amount) for name, amount in self.resources.items())

    def _room(self) -> int:
        """How many workers the cluster has room for."""
        return sum(map(self._workers_on, self._nodes()))


class Crew:
    """The workers of a study on a cluster: started where there is room, replaced where they are lost."""

    def __init__(self, cluster: Cluster, evaluator: Evaluator) -> None:
        self.cluster, self.evaluator, self.ray = cluster, evaluator, cluster.ray
        self.starting: dict[Any, Any] = {}
        self.idle: list[Any] = []
        self.all: list[Any] = []
        self.ended = 0
        amounts = dict(cluster.resources)
        options = {
            "num_cpus": amounts["CPU"],
            "num_gpus": amounts.get("GPU"),
            "memory": amounts.get("memory"),
        }
        self.worker = self.ray.remote(
            max_restarts=0, **{name: amount for name, amount in options.items() if amount is not None}
        )(Worker)

    def grow(self, jobs: int) -> None:
        """Start workers until there is one for each job, or no more room."""
        while len(self.all) < min(jobs, self.cluster._room()):
            worker = self.worker.remote(
                str(Path.cwd()),
                replace(self.cluster.study, retry_failed=False),  # this process has tried again
                outputs=self.evaluator.outputs,
                record=self.evaluator.record,
                planning=dict(self.evaluator.planning),
            )
            self.all.append(worker)
            known = files_of(self.cluster.study), self.evaluator.games.settings, VERSIONS
            self.starting[worker.ready.remote(*known)] = worker

    def started(self, answer: Any) -> None:
        """Take in a worker that is ready; a ValueError where it cannot do what this process does."""
        worker = self.starting.pop(answer)
        try:
            node, missing, told = self.ray.get(answer)
        except self.ray.exceptions.RayError as error:
            self.back(worker, lost=True)
            self.ended += 1
            if self.ended >= TRIES or isinstance(error, self.ray.exceptions.RayTaskError):
                raise ValueError(f"a worker cannot start: {_reason(error)}") from error
            return
        require_seen(node, missing)
        if told:
            raise ValueError(f"node {node} has another study than this process: {told}")
        self.ended = 0
        self.idle.append(worker)

    def free_for(self, job: Job) -> Any:
        """A free worker for a job, that it has not failed on where there is one; it is free no more."""
        ready = [worker for worker in self.all if worker not in self.starting.values()]
        others = [worker for worker in ready if worker not in job.workers]
        worker = next((worker for worker in self.idle if worker in others or not others), None)
        if worker is not None:
            self.idle.remove(worker)
        return worker

    def back(self, worker: Any, *, lost: bool = False) -> None:
        """Take back a worker that has done its job, or note that it is lost."""
        if lost:
            self.all.remove(worker)
            self.ray.kill(worker)  # it may be out of reach for a while only
        else:
            self.idle.append(worker)

    def end(self) -> None:
        """End all workers."""
        for worker in self.all:
            self.ray.kill(worker)


def _reason(error: Any) -> str:
    """Why a block failed, in a line."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        return f"{type(cause).__name__}: {first_line(cause)}"
    return str(error).strip().splitlines()[-1].strip()  # of a lost worker: how its process ended


def _told(job: Job) -> dict[str, Any]:
    """A block that failed, as JSON."""
    rows = job.block.games
    return {
        "networks": list(job.block.networks),
        "games": [rows.start, rows.stop - 1],
        "reasons": job.reasons,
    }
