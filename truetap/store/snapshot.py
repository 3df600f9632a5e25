"""What of a segment can be read at this moment, told from its log, its size and little more.

Cost: the log is read, of the data only the end of a segment that has no seal: after a crash of the
machine the last blocks of a file may be zeros although its size is right, so the last commits are
compared with their checksums until one fits. Commits behind damage are not handed out.
"""

from __future__ import annotations

from dataclasses import dataclass

from truetap.errors import StoreError
from truetap.store.commit_log import Commit, CommitLog, read_commit_log
from truetap.store.files import Place, crc_of, files_of
from truetap.store.layout import log_file, segment_file, segment_numbers, worker_folders
from truetap.store.manifest import TableEntry
from truetap.store.problem import Problem, damage, uncommitted


@dataclass(frozen=True)
class Snapshot:
    """The readable part of a segment.

    Attributes:
        path: The segment's data.
        commits: Batches that can be read.
        sealed: The commit of the footer, when the segment was finished and is long enough.
        problems: What was found on the way.
    """

    path: Place
    commits: tuple[Commit, ...]
    sealed: Commit | None
    problems: tuple[Problem, ...]

    @property
    def num_rows(self) -> int:
        """Rows that can be read."""
        return sum(commit.rows for commit in self.commits)


def take_snapshot(path: Place) -> Snapshot:
    """Look at a segment, finished or not.

    Raises:
        StoreError: A file is there but can't be read.
    """
    try:
        # The log before the size: what a writer adds in between is simply not seen.
        log = _log_of(path)
        return _within_size(path, log)
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"Could not read {str(path)!r}: {error.strerror or error}.") from error


def live_snapshots(table: Place, entry: TableEntry, worker: str | None = None) -> list[Snapshot]:
    """All segments in a table's folder whose rows no Parquet file has taken over, in order; or those of one worker.

    Raises:
        StoreError: A file is there but can't be read.
    """
    return [
        take_snapshot(segment_file(folder, number))
        for folder in worker_folders(table)
        if worker in (None, folder.name)
        for number in files_of(table).begun(segment_numbers(folder), entry.segments.get(folder.name, 0))
        if number >= entry.replaced.get(folder.name, 0)
    ]


def _log_of(path: Place) -> CommitLog:
    try:
        return read_commit_log(log_file(path), path)
    except FileNotFoundError:
        return CommitLog(problems=(damage(log_file(path), 0, "the commit log is missing"),))


def _within_size(path: Place, log: CommitLog) -> Snapshot:
    problems = list(log.problems)
    commits, sealed = log.commits, log.sealed
    try:
        size = files_of(path).size(path)
    except FileNotFoundError:
        if commits or sealed:
            problems.append(damage(path, 0, "the segment is missing"))
        return Snapshot(path, (), None, tuple(problems))
    whole = tuple(commit for commit in commits if commit.end <= size)
    if sealed and sealed.end > size:
        problems.append(damage(path, size, f"the file ends here, it was {sealed.end} bytes long"))
        sealed = None
    elif len(whole) < len(commits):
        problems.append(damage(path, size, f"the file ends here, {commits[-1].end} bytes were committed"))
    if sealed is None and whole:
        whole = _without_bad_tail(path, whole, problems)
    committed = sealed.end if sealed else log.commits[-1].end if log.commits else 0
    if size > committed and not any(problem.damage for problem in log.problems):  # else, who knows
        problems.append(uncommitted(path, committed, f"{size - committed} bytes after the last commit"))
    return Snapshot(path, whole, sealed, tuple(problems))


def _without_bad_tail(path: Place, commits: tuple[Commit, ...], problems: list[Problem]) -> tuple[Commit, ...]:
    with files_of(path).open(path) as file:
        for last in range(len(commits) - 1, -1, -1):
            start = commits[last - 1].end if last else 0
            if crc_of(file, start, commits[last].end) == commits[last].crc:
                return commits[: last + 1]
            problems.append(damage(path, start, f"bytes up to {commits[last].end} are not those written"))
    return ()
