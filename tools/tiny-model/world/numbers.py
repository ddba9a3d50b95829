"""One-digit sums and counting."""

from __future__ import annotations

from .intent import Case, Intent, intent

WORDS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
         "fifteen sixteen seventeen eighteen nineteen twenty").split()
LARGEST = 20


def sum_cases() -> list[Case]:
    """All 100 pairs of one-digit numbers."""
    return [Case({"a": str(a), "b": str(b), "wa": WORDS[a], "wb": WORDS[b]},
                 f"{a} plus {b} is {a + b}.") for a in range(10) for b in range(10)]


def sums() -> list[Intent]:
    """Sums of two one-digit numbers, in digits and in words."""
    return [intent("sums", "sum", """
        what is {a} plus {b}
        what is {a} + {b}
        what is {a}+{b}
        (whats|calculate|compute|solve|work out) {a} plus {b}
        (whats|calculate|compute|solve|work out) (|the sum) {a} + {b}
        {a} plus {b}
        {a}+{b}
        {a} + {b}
        {a} + {b} =
        {a}+{b}=
        {a} + {b} = ?
        {a} plus {b} (is|is what|equals|makes)
        how much is {a} (plus|and|+) {b}
        what (do|does) {a} (plus|and|+) {b} (make|give|equal)
        add {a} and {b}
        add {a} to {b}
        (please|now|can you|could you) add {a} and {b}
        what is the sum of {a} and {b}
        (calculate|compute|tell me|give me|find) the sum of {a} and {b}
        the sum of {a} and {b}
        (sum|sum up|add up) {a} and {b}
        (can|could) you (add|sum) {a} (and|plus|to) {b}
        if i add {a} and {b} what do i get
        what do i get (if|when) i add {a} (and|to) {b}
        what is {a} added to {b}
        what is the (result|answer|total) of {a} (plus|+) {b}
        (tell me|do you know|say) (what|how much) {a} (plus|+|and) {b} is
        i have {a} apples and get {b} more how many do i have
        there are {a} cats and {b} dogs how many animals are there
        what is {wa} plus {wb}
        how much is {wa} (plus|and) {wb}
        {wa} plus {wb}
        add {wa} and {wb}
        what is the sum of {wa} and {wb}
        (calculate|compute|solve) {wa} plus {wb}
        what do {wa} and {wb} make
        """, """
        can you compute {a} plus {b} for me
        what number is {a} + {b}
        how much does {a} plus {b} make
        find the total of {a} and {b}
        i would like to know {a} plus {b}
        please calculate the sum {a} plus {b}
        do you know how much {a} and {b} is together
        what number do i get from {a} plus {b}
        tell me the result of {a} + {b}
        what is the total of {wa} and {wb}
        """, sum_cases(), 1.0, """
        and {a} plus {b}
        and {a} + {b}
        what about {a} plus {b}
        (now|then|next) {a} plus {b}
        and {wa} plus {wb}
        (now|next) {a} and {b}
        """)]


def listed(first: int, last: int) -> str:
    """The numbers from first to last, in either direction."""
    step = 1 if last >= first else -1
    return ", ".join(str(number) for number in range(first, last + step, step)) + "."


def span(first: int, last: int) -> Case:
    """Counting from first to last."""
    return Case({"a": str(first), "b": str(last), "wa": WORDS[first], "wb": WORDS[last]},
                listed(first, last))


def counting() -> list[Intent]:
    """Counting up and down, and the neighbours of a number."""
    up = [span(a, b) for a in range(LARGEST) for b in range(a + 1, LARGEST + 1)]
    common = [span(1, b) for b in range(2, LARGEST + 1)] * 8 + [span(1, 10), span(1, 20)] * 10
    down = [span(b, a) for a in range(LARGEST) for b in range(a + 1, LARGEST + 1)]
    from_ten = [span(b, a) for b in (10, 5, 20, 3) for a in (0, 1)] * 12
    after = [Case({"n": str(n), "wn": WORDS[n]}, f"After {n} comes {n + 1}.") for n in range(20)]
    before = [Case({"n": str(n), "wn": WORDS[n]}, f"Before {n} comes {n - 1}.")
              for n in range(1, 21)]
    to_n = [span(1, b) for b in range(2, LARGEST + 1)]
    down_from = [span(b, 1) for b in range(2, LARGEST + 1)]
    return [
        intent("counting", "up", """
            count from {a} to {b}
            (can|could|would) you count from {a} to {b}
            count (up|) (from|between) {a} (to|and|up to|until|till) {b}
            (please|now|let us|i want you to|try to) count from {a} to {b}
            count {a} to {b}
            (list|say|write|name|print|show|give me|tell me) the numbers from {a} to {b}
            (list|say|write|name|give me) (all|) numbers (from|between) {a} (to|and) {b}
            (which|what) numbers are (from|between) {a} (to|and) {b}
            count from {wa} to {wb}
            (list|say|write) the numbers from {wa} to {wb}
            start at {a} and count to {b}
            (numbers|counting) from {a} to {b}
            """, """
            would you please count up from {a} to {b}
            begin at {a} and count up to {b}
            show me all the numbers from {a} to {b}
            i would like you to count from {a} to {b}
            do the counting from {a} up to {b}
            """, up + common, 3.0),
        intent("counting", "up_to", """
            count to {b}
            count (up to|until|till) {b}
            (can|could|would) you count to {b}
            (please|now|let us) count to {b}
            count to {wb}
            (can|could) you count to {wb}
            can you count up to {b}
            (list|say|write|name) the first {wb} numbers
            (list|say|write|name|give me) the numbers (to|up to) {b}
            count for me to {b}
            """, """
            i want you to count to {b}
            try to count up to {b}
            tell me the numbers up to {b}
            please would you count to {wb}
            """, to_n, 1.5),
        intent("counting", "down", """
            count down from {a} to {b}
            count (backwards|back|downwards) from {a} to {b}
            (can|could|would) you count (down|back|backwards) from {a} to {b}
            (please|now|let us) count (down|backwards) from {a} to {b}
            count from {a} (down|back) to {b}
            count from {a} to {b}
            count down {a} to {b}
            (list|say|write|give me) the numbers from {a} down to {b}
            count down from {wa} to {wb}
            start at {a} and count (down|back) to {b}
            (a countdown|countdown|make a countdown) from {a} to {b}
            """, """
            i would like you to count down from {a} to {b}
            begin at {a} and go down to {b}
            show me the numbers from {a} down to {b}
            do a countdown from {a} to {b}
            """, down + from_ten, 2.5),
        intent("counting", "down_from", """
            count down from {a}
            count (backwards|back) from {a}
            (can|could) you count (down|backwards) from {a}
            (please|now) count (down|backwards) from {a}
            (a countdown|countdown|make a countdown|start a countdown) from {a}
            count down from {wa}
            """, """
            do a countdown from {a}
            i want you to count down from {a}
            would you count backwards from {a}
            """, down_from, 1.0),
        intent("counting", "after", """
            (what|which number) comes (after|next after|right after) {n}
            (what|which number) (is|follows) after {n}
            (what|which number) follows {n}
            what is the (next number|number) after {n}
            the number after {n}
            (tell me|say|name|give me) the number after {n}
            (what|which number) comes after {wn}
            what is after {n}
            what is the next number after {wn}
            i am at {n} what comes next
            """, """
            could you say what number comes after {n}
            what number is next after {n}
            do you know which number follows {n}
            """, after, 1.0, """
            and after {n}
            what about after {n}
            """),
        intent("counting", "before", """
            (what|which number) comes (before|right before|just before) {n}
            (what|which number) is before {n}
            (what|which number) precedes {n}
            what is the (previous number|number) before {n}
            the number before {n}
            (tell me|say|name|give me) the number before {n}
            (what|which number) comes before {wn}
            what is the number before {wn}
            """, """
            could you say what number comes before {n}
            what number is right before {n}
            do you know which number is before {n}
            """, before, 1.0, """
            and before {n}
            what about before {n}
            """),
    ]
