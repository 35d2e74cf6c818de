"""A generator in a thread of its own."""

import threading
import time

import pytest

from utils.ahead import ahead


def test_the_same_items_in_order_made_in_another_thread():
    threads = set()

    def make():
        for i in range(50):
            threads.add(threading.get_ident())
            yield i

    assert list(ahead(make(), 3)) == list(range(50))
    assert threads.isdisjoint({threading.get_ident()}) and len(threads) == 1


def test_no_more_than_asked_for_is_made_ahead():
    made = []

    def make():
        for i in range(100):
            made.append(i)
            yield i

    items = ahead(make(), 4)
    assert next(items) == 0
    time.sleep(0.2)
    assert len(made) <= 1 + 4 + 1
    items.close()


def test_errors_come_through_in_their_place():
    def make():
        yield 1
        raise OSError("disk")

    items = ahead(make(), 2)
    assert next(items) == 1
    with pytest.raises(OSError, match="disk"):
        next(items)


def test_who_stops_early_leaves_no_thread_and_closes_the_maker():
    closed = threading.Event()

    def make():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    items = ahead(make(), 2)
    next(items)
    items.close()
    assert closed.is_set() and threading.active_count() == before


def test_nothing_is_made_before_the_first_is_asked_for():
    made = []
    items = ahead((made.append(i) for i in range(3)), 2)
    time.sleep(0.05)
    assert made == []
    items.close()
