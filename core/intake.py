"""Intake of push sources: concurrent senders share a commit.

A web server hands in one delivery a request; while one batch is being committed, the next one gathers. Nobody is
answered before the commit that holds his message, and a commit costs the disk once, however many wait for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from core.connector import Delivery
from core.engine import Accepted
from core.errors import BusError, Unavailable

BATCH_MOST = 256
WAITING_MOST = 5000
"""Deliveries that may wait for a commit; more are refused at once, so that memory has a limit."""
BUSY_PAUSE_S = 5.0
REFUSED_PAUSE_S = 60.0
"""What a sender is asked to wait when the disk is full: nobody frees it within seconds."""
_log = structlog.get_logger(__name__)

_Waiting = tuple[Delivery, "asyncio.Future[Accepted]"]


class Intake:
    """Commits what push sources hand in. One per process; `threads` commits may be under way at once.

    Deliveries with files go by a lane of their own: packing gigabytes must not keep the short ones waiting.
    """

    def __init__(
        self,
        keep: Callable[[Sequence[Delivery]], list[Accepted]],
        refusal: Callable[[], str] = lambda: "",
        *,
        threads: int = 1,
    ) -> None:
        """keep: journals a batch in one commit. refusal: why nothing may be taken now (Russian), "" when it may."""
        self._refusal = refusal
        self._short = _Lane("intake", keep, threads)
        self._long = _Lane("intake of files", keep, 1)

    def start(self) -> None:
        self._short.start()
        self._long.start()

    def stop(self) -> None:
        """Commit what waits, refuse what comes later."""
        self._short.stop()
        self._long.stop()

    def take(self, delivery: Delivery) -> asyncio.Future[Accepted]:
        """Called in an event loop; the future is done after the commit, with what became of the delivery.

        It raises Unavailable (with `pause_s`) when nothing can be taken now, another BusError when the batch failed.
        """
        future: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        if refusal := self._refusal():
            future.set_exception(Unavailable(refusal, pause_s=REFUSED_PAUSE_S))
        else:
            (self._long if delivery.message.attachments else self._short).put(delivery, future)
        return future


class _Lane:
    """Deliveries that wait for a commit, and the threads that commit them."""

    def __init__(self, name: str, keep: Callable[[Sequence[Delivery]], list[Accepted]], threads: int) -> None:
        self._keep = keep
        self._waiting: deque[_Waiting] = deque()
        self._news = threading.Condition()
        self._stopping = False
        self._threads = [threading.Thread(target=self._run, name=f"{name} {n}", daemon=True) for n in range(threads)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        with self._news:
            self._stopping = True
            self._news.notify_all()
        for thread in self._threads:
            thread.join()

    def put(self, delivery: Delivery, future: asyncio.Future[Accepted]) -> None:
        with self._news:
            refusal = "Шина останавливается: повторите позже" if self._stopping else ""
            if len(self._waiting) >= WAITING_MOST:
                refusal = "Приём перегружен: повторите позже"
            if not refusal:
                self._waiting.append((delivery, future))
                self._news.notify()
        if refusal:
            future.set_exception(Unavailable(refusal, pause_s=BUSY_PAUSE_S))

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._stopping)
                if not self._waiting:
                    return
                batch = [self._waiting.popleft() for _ in range(min(BATCH_MOST, len(self._waiting)))]
            self._commit(batch)

    def _commit(self, batch: Sequence[_Waiting]) -> None:
        done: Sequence[Accepted] | BusError
        try:
            done = self._keep([delivery for delivery, _ in batch])
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, Unavailable):  # one of them is to blame: find out which
                for one in batch:
                    self._commit([one])
                return
            done = error if isinstance(error, BusError) else _defect(error)
        loops = {future.get_loop() for _, future in batch}
        for loop in loops:
            mine = [(place, future) for place, (_, future) in enumerate(batch) if future.get_loop() is loop]
            try:
                loop.call_soon_threadsafe(_tell, mine, done)
            except RuntimeError:  # the web server is gone: its clients will ask again under the same key
                _log.warning("nobody left to answer", messages=len(mine))


def _defect(error: Exception) -> BusError:
    _log.error("intake failed", exc_info=error)
    return BusError("Ошибка в программе приёма: сообщите администратору шины", detail=type(error).__name__)


def _tell(futures: Sequence[tuple[int, asyncio.Future[Accepted]]], done: Sequence[Accepted] | BusError) -> None:
    for place, future in futures:
        if future.done():  # the client went away
            continue
        if isinstance(done, BusError):
            future.set_exception(done)
        else:
            future.set_result(done[place])
