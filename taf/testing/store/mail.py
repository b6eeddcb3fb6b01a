"""Messages that wait: one is accepted only by a thread that somebody owns, and stays until it is taken or withdrawn."""

from __future__ import annotations

import asyncio

import pytest

from taf.checkpointer.base import BaseCheckpointer, Change, Commit, Listing, Mail, Posted, Signal, Taken, ThreadKey
from taf.errors import StaleOwnerError
from taf.testing.store.base import StoreTests
from taf.testing.store.owner import KEY, LEASE, OTHER, RUN, Owner, loops, make_record, until


def message(name: str, kind: str = "enqueue") -> Posted:
    """Return a message that tells its name."""
    return Posted(kind, name, 1000.5, b"\x00body of " + name.encode())


async def names(store: BaseCheckpointer) -> list[str]:
    """Return whose messages wait on the thread."""
    return [one.run_id for one in (await store.mail(KEY)).messages]


class MailTests(StoreTests):
    """``post``, ``mail``, ``amend``, and commits that take messages."""

    async def test_only_a_thread_with_an_owner_takes_mail(self, store: BaseCheckpointer) -> None:
        assert await store.post(KEY, message("a")) is None
        owner = await Owner.of(store)
        await owner.step()
        await owner.release()
        assert await store.post(KEY, message("a")) is None

        owner = await Owner.of(store)
        assert await store.post(KEY, message("a")) is not None
        store.abandon(KEY, owner.epoch)
        assert await store.post(KEY, message("b")) is None
        assert await names(store) == ["a"]

    async def test_messages_wait_in_the_order_of_their_coming(self, store: BaseCheckpointer) -> None:
        await Owner.of(store)
        ids = [await store.post(KEY, message(f"m{number}")) for number in range(12)]

        mail = await store.mail(KEY)

        assert [one._replace(id=0) for one in mail.messages] == [message(f"m{number}") for number in range(12)]
        assert [one.id for one in mail.messages] == ids == sorted({number for number in ids if number})
        assert await store.mail(OTHER) == Mail()

    async def test_a_run_has_one_message(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        first = await store.post(KEY, message("a"))

        assert await store.post(KEY, message("a"), Signal("enqueue", "", b"a")) == first
        assert await names(store) == ["a"]
        assert not await owner.step()
        await owner.release()
        assert await store.post(KEY, message("a")) == first

    async def test_whoever_acquires_the_thread_sees_its_mail(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        await store.post(KEY, message("a"))
        await owner.release()

        grant = await store.acquire(KEY, lease_seconds=LEASE)

        assert grant is not None
        assert [one._replace(id=0) for one in grant.mail.messages] == [message("a")]

    async def test_threads_with_mail_can_be_listed(self, store: BaseCheckpointer) -> None:
        for name in ("a", "b", "c"):
            key = ThreadKey("", name)
            owner = await Owner.of(store, key)
            await owner.step(status="running" if name == "c" else "completed")
            number = await store.post(key, message(name))
            await owner.release(status="running" if name == "c" else "completed")
            if name == "a":
                assert number is not None
                assert await store.amend(key, number, None)

        found = await store.threads(listing=Listing(has_mail=True))
        assert [row.thread_id for row in found] == ["b", "c"]
        found = await store.threads(listing=Listing(("completed",), has_mail=True, is_newest_first=True))
        assert [row.thread_id for row in found] == ["b"]

    async def test_a_thread_without_records_keeps_its_mail(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await store.post(KEY, message("a"))
        await owner.release(status="idle", run_id="")
        assert await names(store) == ["a"]
        assert await store.acquire(KEY, lease_seconds=LEASE, create=False) is None
        assert await store.threads() == []

        owner = await Owner.of(store)
        store.abandon(KEY, owner.epoch)
        await asyncio.sleep(0)
        grant = await store.acquire(KEY, lease_seconds=LEASE)

        assert grant is not None
        assert [one.run_id for one in grant.mail.messages] == ["a"]

    async def test_a_release_that_expects_no_records_is_refused_where_there_are_some(
        self, store: BaseCheckpointer
    ) -> None:
        owner = await Owner.of(store)
        await owner.step()
        await store.post(KEY, message("a"))

        with pytest.raises(StaleOwnerError):
            await store.append(owner.commit(expected=0, is_release=True))
        await owner.step()

    async def test_what_a_commit_takes_is_gone_with_it(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        ids = [await store.post(KEY, message(name)) or 0 for name in ("a", "b", "c")]

        with pytest.raises(StaleOwnerError):
            await store.append(owner.commit([make_record(9)], expected=8, taken=Taken(ids)))
        assert await names(store) == ["a", "b", "c"]

        await owner.step(taken=Taken([ids[1]], 0))
        assert await names(store) == ["a", "c"]
        await owner.append(make_record(3), status="completed", is_release=True, taken=Taken([ids[0]]))
        assert await names(store) == ["c"]
        owner = await Owner.of(store)
        await owner.step(taken=Taken([ids[2]], 0))
        await owner.release()
        assert await store.mail(KEY) == Mail()

    async def test_a_message_that_was_changed_meanwhile_is_not_taken(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        first, second = [await store.post(KEY, message(name)) or 0 for name in ("a", "b")]
        mail = await store.mail(KEY)

        assert await store.amend(KEY, first, b"other")
        with pytest.raises(StaleOwnerError):
            await store.append(owner.commit([make_record(2)], taken=Taken([first], mail.amendments)))

        mail = await store.mail(KEY)
        assert [one.body for one in mail.messages] == [b"other", message("b").body]
        await owner.step(taken=Taken([first], mail.amendments))
        await store.post(KEY, message("c"))
        await owner.step(taken=Taken([second], mail.amendments))
        assert await names(store) == ["c"]

    async def test_a_message_is_withdrawn_once(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        first = await store.post(KEY, message("a")) or 0
        await store.post(KEY, message("b"))

        assert not await store.amend(OTHER, first, None)
        assert await store.amend(KEY, first, None)
        assert not await store.amend(KEY, first, None)
        assert not await store.amend(KEY, first, b"late")
        assert await names(store) == ["b"]

    async def test_mail_wakes_who_watches(self, store: BaseCheckpointer) -> None:
        told: list[Change] = []
        signals: list[Change] = []
        owner = await Owner.of(store)
        await owner.step()
        store.watch(KEY, told.append)
        store.watch(KEY, signals.append, signals_only=True)

        await store.post(KEY, message("a"))
        await store.post(KEY, message("b", "interrupt"), Signal("interrupt", "", b"b"))

        await until(lambda: signals)
        assert [(s.kind, s.run_id, s.body) for s in signals[-1].signals] == [("interrupt", "", b"b")]
        await until(lambda: told and told[-1].signals)

    async def test_a_signal_to_the_owner_is_for_any_run_of_his_and_ends_with_him(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step(run_id="run-0")
        await store.post(KEY, message("a", "steer"), Signal("steer", "", b"a"))

        for run_id in ("run-0", RUN):
            assert [signal.kind for signal in await owner.step(run_id=run_id)] == ["steer"]
        await owner.release()
        assert not await (await Owner.of(store)).step()

    async def test_a_signal_to_an_owner_who_died_does_not_reach_his_heir(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        await store.post(KEY, message("a", "steer"), Signal("steer", "", b"a"))
        store.abandon(KEY, owner.epoch)

        assert not await (await Owner.of(store)).step()
        assert await names(store) == ["a"]

    async def test_a_release_of_nothing_but_mail_says_whose_it_was(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await store.post(KEY, message("a"))
        await store.append(Commit(KEY, owner.epoch, 0, (), "stopped", "mine", is_release=True))

        grant = await store.acquire(KEY, lease_seconds=LEASE, create=False)
        assert grant is None  # there is no record
        grant = await store.acquire(KEY, lease_seconds=LEASE)
        assert grant is not None
        assert grant.stored[1:4] == (0, "stopped", "mine")
        assert [one.run_id for one in grant.mail.messages] == ["a"]

    async def test_to_take_what_was_withdrawn_hides_no_other_message(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        first, _ = [await store.post(KEY, message(name)) or 0 for name in ("a", "b")]
        assert await store.amend(KEY, first, None)

        await owner.step(taken=Taken([first, 0], None))
        assert await names(store) == ["b"]
        assert [row.thread_id for row in await store.threads(listing=Listing(has_mail=True))] == [KEY.thread]

    @pytest.mark.parametrize("way", ["taken", "withdrawn"])
    async def test_a_thread_of_nothing_but_mail_goes_with_it(self, store: BaseCheckpointer, way: str) -> None:
        owner = await Owner.of(store)
        message_id = await store.post(KEY, message("a")) or 0
        taken = Taken([message_id], None) if way == "taken" else None
        await store.append(Commit(KEY, owner.epoch, 0, (), "idle", RUN, is_release=True, taken=taken))
        if way == "withdrawn":
            assert await store.amend(KEY, message_id, None)

        grant = await store.acquire(KEY, lease_seconds=LEASE)
        assert grant is not None
        assert grant.stored.born != owner.stored.born

    async def test_mail_goes_with_its_thread(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        await store.post(KEY, message("a"))
        await owner.release()

        assert await store.delete(KEY)
        assert await store.mail(KEY) == Mail()
        grant = await store.acquire(KEY, lease_seconds=LEASE)
        assert grant is not None
        assert not grant.mail.messages

    async def test_each_message_of_a_crowd_is_left_once_or_refused(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()

        async def post(name: str) -> int | None:
            return await store.post(KEY, message(name))

        async def own() -> None:
            for _ in range(10):
                await owner.step()
            await owner.release()

        with loops(3) as running:
            found = await running.run(own, *[lambda name=f"m{number}": post(name) for number in range(60)])

        assert not [one for one in found if isinstance(one, BaseException)]
        left = {number for number in found[1:] if number is not None}
        assert {one.id for one in (await store.mail(KEY)).messages} == left
