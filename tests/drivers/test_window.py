"""The bookkeeping of requests under way, step by step."""

from equipoise.drivers.window import Window


def window(count: int = 4, buffer: int = 100, first: int = 10, reads: tuple[int, ...] = ()) -> Window:
    return Window(
        [bytes([index]) * 10 for index in range(count)], first, buffer, [i not in reads for i in range(count)]
    )


def sent(window: Window) -> list[int]:
    return [frame[0] for frame in window.frames_to_send()]


def test_sends_what_fits_and_goes_on_as_answers_come():
    flow = window(count=5, buffer=25)
    assert sent(flow) == [0, 1]
    assert sent(flow) == []
    assert flow.answer(0)
    assert sent(flow) == [2]
    assert flow.answer(1)
    assert flow.answer(2)
    assert sent(flow) == [3, 4]
    assert flow.answer(3)
    assert not flow.done
    assert flow.answer(4)
    assert flow.done


def test_sends_one_frame_even_if_it_is_larger_than_the_buffer():
    assert sent(window(buffer=5)) == [0]


def test_a_missing_answer_is_asked_for_alone():
    flow = window()
    assert sent(flow) == [0, 1, 2, 3]
    flow.answer(0)
    flow.answer(2)
    assert sent(flow) == [1]
    assert flow.tries == 1
    flow.answer(3)
    assert sent(flow) == []
    flow.answer(1)
    assert flow.done
    assert flow.resent == 1
    assert flow.tries == 0


def test_refused_requests_follow_the_lost_one():
    flow = window()
    sent(flow)
    assert flow.refuse(1, 10)
    assert sent(flow) == [0, 1]
    assert flow.refuse(2, 10)
    assert flow.refuse(3, 10)
    assert sent(flow) == [2, 3]
    assert flow.tries == 1


def test_a_refusal_that_no_request_of_ours_explains():
    flow = window()
    sent(flow)
    flow.answer(0)
    assert not flow.refuse(2, 10), "that one is answered"
    assert not flow.refuse(2, 13), "that one came later"
    assert flow.refuse(2, 11)


def test_at_a_deadline_all_in_flight_is_sent_again_in_order():
    flow = window(count=5, buffer=30)
    sent(flow)
    flow.answer(0)
    flow.expire()
    assert sent(flow) == [1, 2, 3]
    assert flow.tries == 1


def test_what_was_asked_for_again_keeps_its_place():
    flow = window()
    sent(flow)
    flow.answer(0)
    flow.answer(2)
    assert sent(flow) == [1]
    flow.expire()
    assert sent(flow) == [1, 3]


def test_an_answer_after_the_deadline_counts():
    flow = window()
    sent(flow)
    flow.expire()
    assert flow.answer(0)
    assert sent(flow) == [1, 2, 3]


def test_what_was_lost_leaves_the_buffer():
    flow = window(count=5, buffer=30)
    assert sent(flow) == [0, 1, 2]
    flow.answer(2)
    assert sent(flow) == [0, 1, 3]


def test_a_second_answer_is_told_apart():
    flow = window()
    sent(flow)
    assert flow.answer(0)
    assert not flow.answer(0)
    assert flow.oldest == 1


def test_what_changes_memory_waits_for_reads_before_it():
    flow = window(count=4, reads=(1,))
    assert sent(flow) == [0, 1]
    flow.answer(0)
    assert sent(flow) == []
    flow.answer(1)
    assert sent(flow) == [2, 3]


def test_finds_requests_by_number_across_the_wrap():
    flow = window(first=2**16 - 2)
    assert flow.find(2**16 - 2) is None, "not sent yet"
    sent(flow)
    assert [flow.find(number) for number in (2**16 - 2, 2**16 - 1, 0, 1)] == [0, 1, 2, 3]
    assert flow.find(2) is None
    assert flow.find(2**16 - 3) is None
    flow.answer(0)
    assert flow.find(2**16 - 2) == 0
