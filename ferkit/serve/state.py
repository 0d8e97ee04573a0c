"""What one server holds while it runs."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ferkit.serve.explaining import Explaining
from ferkit.serve.journal import Journal
from ferkit.serve.limits import CORES, Rate, Slots
from ferkit.serve.readings import columns
from ferkit.serve.recognise import Recogniser
from ferkit.serve.settings import Settings
from ferkit.serve.sources import Watcher, shown_names
from ferkit.serve.trends import ReadingStore
from ferkit.serve.videos import Videos
from ferkit.serve.work import Work


@dataclass
class State:
    """Everything that requests share.

    Attributes
    ----------
    settings : Settings
    recogniser : Recogniser
        The one model.
    pictures, frames, queries : Work
        Threads for pictures, for frames of streams, and for the store, so that none waits for another kind.
    rate, logins : Rate
        Requests for recognition, and tries of the token.
    streams : Slots
    videos : Videos
    store : ReadingStore or None
    journal : Journal or None
    watchers : list of Watcher
    """

    settings: Settings
    recogniser: Recogniser
    explaining: Explaining
    pictures: Work
    explanations: Work
    frames: Work
    queries: Work
    rate: Rate
    logins: Rate
    streams: Slots
    videos: Videos
    store: ReadingStore | None
    journal: Journal | None
    watchers: list[Watcher]

    @classmethod
    def opened(cls, settings: Settings) -> State:
        """Load the model, open the store, begin to watch."""
        limits = settings.limits
        recogniser = Recogniser(settings.model, limits)
        recogniser.warm_up()
        store = journal = None
        if settings.store is not None:
            store = ReadingStore(settings.store, columns(recogniser.labels), settings.retention_days)
            journal = Journal(store, tidy=store.forget)
            journal.start()
        keep = journal.add if journal is not None else lambda rows: None
        watchers = [
            Watcher(source, recogniser.model, keep, shown=shown)
            for source, shown in zip(settings.sources, shown_names(settings.sources), strict=True)
        ]
        for watcher in watchers:
            watcher.start()
        return cls(
            settings=settings,
            recogniser=recogniser,
            explaining=Explaining(recogniser),
            pictures=Work("pictures", CORES, limits.waiting),
            explanations=Work("explanations", 1, limits.waiting),  # Matplotlib's settings are shared by all threads
            frames=Work("frames", CORES, limits.streams),
            queries=Work("queries", 2, limits.waiting),
            rate=Rate(limits.rate, limits.burst),
            logins=Rate(0.2, 10),
            streams=Slots(limits.streams, limits.streams_each),
            videos=Videos(os.fspath(recogniser.model.path), limits),
            store=store,
            journal=journal,
            watchers=watchers,
        )

    async def close(self) -> None:
        """Stop everything; what was read is written first."""
        for watcher in self.watchers:
            watcher.stop()
        await self.videos.close()
        for watcher in self.watchers:
            watcher.join(3)
        for work in (self.pictures, self.explanations, self.frames, self.queries):
            work.close()
        if self.journal is not None and self.store is not None:
            self.journal.close()
            self.store.close()
